"""What every request passes before its endpoint: the short cut, its id and log line, the bound of its body."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from bandit_core.rules.problems import Encoded, TooLarge
from bandit_service.http.problems import internal_error, problem_response
from bandit_service.http.request_guard import RequestGuard
from bandit_service.metrics import Metrics

HEADER: Final = "x-request-id"
QUIET_PATHS: Final = frozenset(
    {"/select", "/select/batch", "/reward", "/reward/batch", "/activate", "/health", "/ready", "/metrics"}
    | {f"/banditdb/{name}" for name in ("health", "predict", "batch_predict", "reward")}
)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_RAW_HEADER = HEADER.encode()
_LONGEST_PATH: Final = 200
_SERVER_ERROR, _CLIENT_ERROR, _TOO_MANY = 500, 400, 429
log = structlog.get_logger(__name__)


class Application(FastAPI):
    """FastAPI, with a short cut past its middleware and routing for the fast endpoints."""

    short_cuts: Mapping[str, ASGIApp]
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            short_cut = self.short_cuts.get(scope["path"])
            if short_cut is not None:
                await short_cut(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class RequestMiddleware:
    """Gives each request an id, bounds its body, asks the guard, logs how it ended, and answers unexpected errors.

    Every log line written meanwhile carries `request_id`, and what handlers bind with structlog's contextvars, such as
    `decision_id`. A successful request of a busy endpoint is logged at debug level only, and so is one too many: a
    client that asks for too much must not fill the log as well. It is plain ASGI because Starlette's BaseHTTPMiddleware
    costs a task and a queue for each request.
    """

    def __init__(
        self, app: ASGIApp, *, guard: RequestGuard, max_body_bytes: int, new_request_id: Callable[[], str]
    ) -> None:
        self._app = app
        self._guard = guard
        self._bounded = BodyLimit(self._guarded, max_body_bytes)
        self._new_request_id = new_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or self._new_request_id()
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        answer = _WatchedSend(send, request_id.encode())
        started = perf_counter()
        try:
            # A client that leaves early is no failure: there is no one to answer.
            with suppress(ClientDisconnect):
                await self._bounded(scope, receive, answer)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"][:_LONGEST_PATH])
            if answer.status is None:
                await internal_error()(scope, receive, answer)
        _log_end(scope, answer.status, perf_counter() - started)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._guard.problem(scope)
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await problem_response(problem)(scope, receive, send)


class _WatchedSend:
    """Passes messages on, with the request's id among the headers, and remembers the status."""

    __slots__ = ("_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (_RAW_HEADER, self._request_id)]
        await self._send(message)


def _given_id(scope: Scope) -> str | None:
    """Return the caller's request id, unless it is something that does not belong into a log."""
    for name, value in scope["headers"]:
        if name == _RAW_HEADER and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return None


def _log_end(scope: Scope, status: int | None, seconds: float) -> None:
    fields: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"][:_LONGEST_PATH],
        "status": status,
        "duration_ms": round(seconds * 1_000, 3),
    }
    if status is None:
        log.info("request_abandoned", **fields)
    elif status >= _SERVER_ERROR:
        log.warning("request", **fields)
    elif (status < _CLIENT_ERROR or status == _TOO_MANY) and scope["path"] in QUIET_PATHS:
        log.debug("request", **fields)
    else:
        log.info("request", **fields)


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
            # Closing spares the rest of the body: it would not be read.
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
