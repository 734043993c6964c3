"""A bound on what a request may send, enforced before anything reads it."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bandit_core.rules.problems import Encoded, TooLarge
from bandit_service.http.problems import problem_response


class BodyLimit:
    """Answers 413 to a body that is announced or turns out larger than the limit, and 415 to one that is compressed.

    A body is read to its end before the application is called: so nothing is half done when it proves too large, and a
    slow client occupies no more than the limit.

    Raises:
        ClientDisconnect: the client left before its body was complete; the application is not called.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = _announced(scope) if scope["type"] == "http" else 0
        if announced == 0:
            await self._app(scope, receive, send)
            return
        if _is_encoded(scope):
            await problem_response(Encoded("send the body without Content-Encoding"))(scope, receive, send)
            return
        read = None if announced is not None and announced > self._limit else await self._read(receive)
        if read is None:
            problem = TooLarge(f"a body may hold at most {self._limit} bytes")
            # Closing spares the rest of the body: nobody would read it.
            problem.headers["Connection"] = "close"
            await problem_response(problem)(scope, receive, send)
            return
        await self._app(scope, _Replayed(read, receive), send)

    async def _read(self, receive: Receive) -> Message | None:
        """Return the whole body as one message; None once it is too large."""
        message = await receive()
        chunks = [message.get("body", b"")]
        size = len(chunks[0])
        while message["type"] == "http.request" and message.get("more_body", False) and size <= self._limit:
            message = await receive()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        if size > self._limit:
            return None
        if message["type"] != "http.request":
            raise ClientDisconnect
        if len(chunks) == 1:
            return message
        return {"type": "http.request", "body": b"".join(chunks), "more_body": False}


class _Replayed:
    """Hands out a message that was read already, then what follows it."""

    __slots__ = ("_message", "_receive")

    def __init__(self, message: Message, receive: Receive) -> None:
        self._message: Message | None = message
        self._receive = receive

    async def __call__(self) -> Message:
        message, self._message = self._message, None
        return await self._receive() if message is None else message


def _is_encoded(scope: Scope) -> bool:
    return any(name == b"content-encoding" and value.lower() != b"identity" for name, value in scope["headers"])


def _announced(scope: Scope) -> int | None:
    """Return how long the body is: 0 when there is none, None when only reading it can tell."""
    chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
        chunked = chunked or name == b"transfer-encoding"
    return None if chunked else 0
