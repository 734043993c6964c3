"""The ceiling: a bare ASGI application that parses the JSON of `/select` and answers a constant of the usual size."""

from __future__ import annotations

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from bandit_core.rules.requests import SelectRequest, SelectResponse

_CONSTANT = msgspec.json.encode(
    SelectResponse(
        decision_id="d1." + "A" * 67,
        experiment_id="bench",
        arm="a",
        arm_index=0,
        propensity=0.25,
        weights_version=1,
        stratum="bandit",
        recorded=True,
    )
)
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_CONSTANT)).encode())]


def create_app() -> ASGIApp:
    decode = msgspec.json.Decoder(SelectRequest).decode

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        body: bytes = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        decode(body)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _CONSTANT})

    return app
