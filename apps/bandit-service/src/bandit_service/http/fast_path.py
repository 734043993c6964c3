"""The fast endpoints: plain routes with msgspec in and out, documented in the same OpenAPI as everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from bandit_core.rules.decoding import decode_item
from bandit_core.rules.problems import OrProblem, Problem
from bandit_core.rules.requests import HTTP_STATUS, BatchItem, BatchRequest
from bandit_service.domain.api_key import Principal
from bandit_service.http.problems import problem_response
from bandit_service.http.rate_limit import Admission
from bandit_service.metrics import Metrics

type BeginAll[B] = Callable[[Sequence[OrProblem[Any]], Principal], Awaitable[list[OrProblem[B]]]]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class FastEndpoint:
    """A fast endpoint's contract, for routing and for OpenAPI. `item` is what a batch holds."""

    path: str
    tag: str
    summary: str
    description: str
    request: type[msgspec.Struct]
    response: type[msgspec.Struct]
    problems: tuple[int, ...]
    request_example: dict[str, Any]
    response_example: dict[str, Any] | None = None
    item: type[msgspec.Struct] | None = None
    # Whether the answer may come before the work is done, if the client prefers that (RFC 7240).
    may_respond_async: bool = False


@dataclass(slots=True)
class FastPath:
    """What every fast endpoint shares: who calls, how long it took, and the list of them for OpenAPI."""

    admission: Admission
    metrics: Metrics
    endpoints: list[FastEndpoint] = field(default_factory=list)

    def route(self, endpoint: FastEndpoint, handler: Callable[..., Awaitable[msgspec.Struct]]) -> Route:
        """Return the route of an endpoint that answers one request."""
        return self._route(endpoint, handler)

    def batch_route[B](
        self,
        endpoint: FastEndpoint,
        begin_all: BeginAll[B],
        finish: Callable[[B], Awaitable[msgspec.Struct]],
    ) -> Route:
        """Return the route of an endpoint that answers many.

        Every item is begun before the first is finished, so that all of them share a command or a statement. A task for
        each item would do so too, and costs more.
        """

        async def answer(batch: BatchRequest, principal: Principal) -> dict[str, list[BatchItem]]:
            self.admission.charge(principal, len(batch.items) - 1)
            begun = await begin_all([_decoded(endpoint, raw) for raw in batch.items], principal)
            return {"items": [await _finished(item, finish) for item in begun]}

        return self._route(endpoint, answer)

    def _route(self, endpoint: FastEndpoint, handler: Callable[..., Awaitable[Any]]) -> Route:
        self.endpoints.append(endpoint)
        application = _FastApplication(endpoint, handler, self.admission, self.metrics)
        return Route(endpoint.path, application, methods=["POST"], name=endpoint.path)


class _FastApplication:
    """One fast endpoint as a plain ASGI application: a Request and a Response object would cost more than its work."""

    def __init__(
        self,
        endpoint: FastEndpoint,
        handler: Callable[..., Awaitable[Any]],
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self._request = endpoint.request
        self._may_respond_async = endpoint.may_respond_async
        self._handler = handler
        self._admit = admission.admit
        self._seconds = partial(metrics.requests.labels, endpoint.path)
        self._answered, self._failed = self._seconds("200"), self._seconds("500")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        try:
            headers = Headers(scope=scope)
            principal = await self._admit(headers)
            principal.require("writer")
            command = decode_item(self._request, await _body(receive))
            _bind(command)
            if self._may_respond_async and _prefers_async(headers):
                answer = await self._handler(command, principal, respond_async=True)
            else:
                answer = await self._handler(command, principal)
            _bind(answer)
            status = HTTP_STATUS.get(getattr(answer, "status", ""), 200)
            measured = self._answered if status == 200 else self._seconds(str(status))
            await _send_json(_encode(answer), send, status)
        except Problem as problem:
            measured = self._seconds(str(problem.status))
            await problem_response(problem)(scope, receive, send)
        except Exception:
            self._failed.observe(perf_counter() - started)
            raise
        measured.observe(perf_counter() - started)


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return body


async def _send_json(content: bytes, send: Send, status: int) -> None:
    length = str(len(content)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _prefers_async(headers: Headers) -> bool:
    if "prefer" not in headers:
        return False
    wishes = ",".join(headers.getlist("prefer")).split(",")
    return any(wish.strip().lower() == "respond-async" for wish in wishes)


def one_by_one[B](begin: Callable[[Any, Principal], Awaitable[B]]) -> BeginAll[B]:
    """Return what begins the items of a batch one after another; what was refused stays so."""

    async def begin_all(requests: Sequence[OrProblem[Any]], principal: Principal) -> list[OrProblem[B]]:
        begun: list[OrProblem[B]] = []
        for request in requests:
            try:
                begun.append(request if isinstance(request, Problem) else await begin(request, principal))
            except Problem as problem:
                begun.append(problem)
        return begun

    return begin_all


def _decoded(endpoint: FastEndpoint, raw: Sequence[int]) -> OrProblem[Any]:
    try:
        return decode_item(endpoint.item or endpoint.request, raw)
    except Problem as problem:
        return problem


async def _finished[B](begun: OrProblem[B], finish: Callable[[B], Awaitable[msgspec.Struct]]) -> BatchItem:
    if isinstance(begun, Problem):
        return _refused(begun)
    try:
        result = await finish(begun)
        return BatchItem(HTTP_STATUS.get(getattr(result, "status", ""), 200), result=result)
    except Problem as problem:
        return _refused(problem)


def _refused(problem: Problem) -> BatchItem:
    return BatchItem(problem.status, problem=problem.details)


def _bind(message: object) -> None:
    """Have every log line of this request name its decision."""
    decision_id = getattr(message, "decision_id", None)
    if decision_id is not None:
        bind_contextvars(decision_id=decision_id)
