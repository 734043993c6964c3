"""Structured logs: one line of JSON for what happens, one rich line for each request."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, Literal

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.typing import Processor

from bandit_service.http.body_limit import BodyLimit
from bandit_service.http.log_repetitions import Repetitions
from bandit_service.http.problems import internal_error

HEADER: Final = "x-request-id"
QUIET_PATHS: Final = frozenset(
    {"/select", "/select/batch", "/reward", "/reward/batch", "/activate", "/health", "/ready", "/metrics"}
    | {f"/banditdb/{name}" for name in ("health", "predict", "batch_predict", "reward")}
)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_RAW_HEADER = HEADER.encode()
_LONGEST_PATH: Final = 200
_ALIKE_EVERY: Final = 10.0
_SERVER_ERROR, _CLIENT_ERROR, _TOO_MANY = 500, 400, 429
log = structlog.get_logger(__name__)


def configure(log_format: Literal["json", "console"], level: str) -> None:
    """Send this program's logs and those of its libraries to standard output, in one format."""
    renderer: Processor = structlog.processors.JSONRenderer() if log_format == "json" else _console()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    tracebacks = [] if log_format == "console" else [structlog.processors.format_exc_info]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tracebacks, renderer],
        )
    )
    handler.addFilter(Repetitions(_ALIKE_EVERY))
    # A line that cannot be written (a full disk, a pipe that nobody reads) is no reason to write a traceback elsewhere.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their ordinary work would be a line per request or per connection.
    for chatty in ("uvicorn.access", "psycopg.pool", "httpx", "mcp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


class RequestMiddleware:
    """Gives each request an id, bounds its body, logs how it ended, and answers for errors nobody expected.

    Every log line written meanwhile carries `request_id`, and what handlers bind with structlog's contextvars, such as
    `decision_id`. A successful request of a busy endpoint is logged at debug level only, and so is one too many:
    whoever asks for too much shall not fill the log as well. It is plain ASGI because Starlette's BaseHTTPMiddleware
    costs a task and a queue for each request.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, new_request_id: Callable[[], str]) -> None:
        self._app = app
        self._bounded = BodyLimit(app, max_body_bytes)
        self._new_request_id = new_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or self._new_request_id()
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        answer = _Answer(send, request_id.encode())
        started = perf_counter()
        try:
            # A client that leaves early is no failure: nobody is there to be answered.
            with suppress(ClientDisconnect):
                await self._bounded(scope, receive, answer)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"][:_LONGEST_PATH])
            if answer.status is None:
                await internal_error()(scope, receive, answer)
        _log_end(scope, answer.status, perf_counter() - started)


class _Answer:
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


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
