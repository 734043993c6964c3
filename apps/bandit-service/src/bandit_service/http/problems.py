"""Every error a client can see, as problem details (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from msgspec import to_builtins
from msgspec.json import schema_components
from starlette.exceptions import HTTPException
from starlette.routing import Match

from bandit_core.rules import messages
from bandit_core.rules.decoding import LONGEST_PATH
from bandit_core.rules.problems import FieldError, Invalid, Problem, ProblemDetails, Unavailable, problem_details
from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError

MEDIA_TYPE = "application/problem+json"
MOST_FIELD_ERRORS = 20
RETRY_AFTER = 2
_ROUTING_DETAILS = {
    400: "the body cannot be read",
    404: "there is nothing at this path",
    405: "this path does not take that method; the header Allow names those it takes",
}
log = structlog.get_logger(__name__)


def problem_response(problem: Problem) -> Response:
    """Return the HTTP answer for a problem."""
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return _response(problem.details, headers)


def internal_error() -> Response:
    """Return the answer to an unexpected error; it says nothing about the inside."""
    return _response(problem_details(500, "Internal error", "the service failed; its log has the details"))


def install(app: FastAPI) -> None:
    """Render every expected error of an application as problem details, the framework's own included.

    Unexpected errors are rendered by `application.RequestMiddleware`, which knows the request's id.
    """
    _handle(app, Problem, _on_problem)
    _handle(app, RequestValidationError, _on_invalid_request)
    _handle(app, HTTPException, _on_http_exception)
    for error in (PostgresUnavailableError, StoreUnavailableError, StoreFullError):
        _handle(app, error, _on_unavailable)


def _handle[E: Exception](app: FastAPI, kind: type[E], handler: Callable[[Request, E], Awaitable[Response]]) -> None:
    # Starlette types every handler as one of any exception, although it calls it with this kind only.
    app.add_exception_handler(kind, cast("Callable[[Request, Exception], Awaitable[Response]]", handler))


_DESCRIPTIONS = {kind.status: str(kind.__doc__) for kind in Problem.__subclasses__()}
_TITLES = {kind.status: kind.title for kind in Problem.__subclasses__()}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 0}}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "How to authenticate", "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problems an operation can answer, for its `responses`.

    An operation with parameters names 422 among them, or FastAPI documents a shape that is never sent.
    """
    return {status: _documented(status) for status in statuses}


def component_schemas() -> dict[str, Any]:
    """Return the schemas that `responses` refers to, for the components of the OpenAPI document."""
    return schema_components([ProblemDetails], ref_template="#/components/schemas/{name}")[1]


def _documented(status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    documented: dict[str, Any] = {"description": _DESCRIPTIONS[status], "content": content}
    if status in _HEADERS:
        documented["headers"] = _HEADERS[status]
    return documented


def _response(details: ProblemDetails, headers: Mapping[str, str] | None = None) -> Response:
    # json.dumps keeps to ASCII: a detail may quote text that UTF-8 cannot hold, such as half a surrogate pair.
    return Response(json.dumps(to_builtins(details)), details.status, headers, MEDIA_TYPE)


async def _on_problem(_: Request, problem: Problem) -> Response:
    return problem_response(problem)


async def _on_unavailable(request: Request, error: Exception) -> Response:
    log.warning("unavailable", path=request.url.path[:LONGEST_PATH], reason=str(error))
    message = str(error) if isinstance(error, MissingSchemaError) else "a server behind this service is away"
    return problem_response(Unavailable(message, retry_after=RETRY_AFTER))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    title = _TITLES.get(error.status_code, HTTPStatus(error.status_code).phrase.capitalize())
    detail = _ROUTING_DETAILS.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return _response(problem_details(error.status_code, title, detail), headers)


def _methods_at(request: Request) -> set[str]:
    """Return every method a path takes; the framework names those of the first route that matches only."""
    routes = [
        route for route in iter_route_contexts(request.app.routes) if route.matches(request.scope)[0] != Match.NONE
    ]
    return {method for route in routes for method in route.methods or ()}


async def _on_invalid_request(_: Request, error: RequestValidationError) -> Response:
    return problem_response(invalid(error.errors()))


def invalid(found: Sequence[Mapping[str, Any]]) -> Invalid:
    """Return the problem that pydantic's errors about a request amount to; their places begin with `body` or alike."""
    errors = [_field_error(each) for each in found[:MOST_FIELD_ERRORS]]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Invalid(f"{errors[0].field}: {errors[0].message}{more}", errors=errors)


def _field_error(found: Mapping[str, Any]) -> FieldError:
    if found["type"] == "json_invalid":
        return FieldError(field="body", message=f"not valid JSON: {found['ctx']['error']}")
    return FieldError(field=_path(found["loc"]), message=messages.of_pydantic(found))


def _path(location: Sequence[str | int]) -> str:
    """Return where an error is: `arms[0].id` in a body, the name of a parameter elsewhere."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location[1:])
    # A client may send a field name of any length.
    return path.removeprefix(".")[:LONGEST_PATH] or "body"
