"""Every error a client can see, as problem details (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Self, cast

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError

MEDIA_TYPE = "application/problem+json"
MOST_FIELD_ERRORS = 20
LONGEST_PATH = 200
RETRY_AFTER = 2
_TYPE_PREFIX = "urn:bandit:problem:"
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field here",
    "model_attributes_type": "must be a JSON object, sent with Content-Type: application/json",
}
_ROUTING_DETAILS = {
    400: "the body cannot be read",
    404: "there is nothing at this path",
    405: "this path does not take that method; the header Allow names those it takes",
}
log = structlog.get_logger(__name__)


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Where, as a path into the body, or the parameter's name", examples=["arms[0].id"])
    message: str = Field(description="What is wrong and what to do", examples=["must be unique"])


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="Names the kind of problem", examples=["urn:bandit:problem:not-found"])
    title: str = Field(description="The kind of problem in words", examples=["Not found"])
    status: int = Field(description="The HTTP status", ge=400, le=599, examples=[404])
    detail: str = Field(description="What happened this time", examples=["there is no experiment 'homepage'"])
    errors: list[FieldError] | None = Field(default=None, description="The fields that are wrong, where fields are")


class Problem(Exception):  # noqa: N818 (the standard's own word)
    """An answer other than success. Subclasses fix the status, the title and the type."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.headers = dict(headers or {})

    @classmethod
    def field(cls, name: str, message: str) -> Self:
        """Return the problem that one field is wrong."""
        return cls(f"{name}: {message}", errors=[FieldError(field=name, message=message)])

    def to_dict(self) -> dict[str, Any]:
        """Return the problem details as they are sent."""
        return _details(self.status, self.title, self.detail, self.errors)


class Unauthorized(Problem):
    """The request brings no valid API key."""

    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="bandit"'})


class Forbidden(Problem):
    """The API key may not do this."""

    status = 403
    title = "Forbidden"


class NotFound(Problem):
    """There is nothing here, or nothing the API key may see."""

    status = 404
    title = "Not found"


class Conflict(Problem):
    """The request does not fit the present state."""

    status = 409
    title = "Conflict"


class Expired(Problem):
    """It was possible once, and no longer is."""

    status = 410
    title = "Expired"


class TooLarge(Problem):
    """The body is larger than this service takes."""

    status = 413
    title = "Too large"


class Invalid(Problem):
    """The request is readable but wrong; `errors` names the fields."""

    status = 422
    title = "Invalid"


class Unreadable(Problem):
    """The request cannot be read."""

    status = 400
    title = "Bad request"


class TooSlow(Problem):
    """The request did not arrive in time."""

    status = 408
    title = "Request timeout"


class HeadTooLarge(Problem):
    """The request's head (its path and headers) is larger than this service takes."""

    status = 431
    title = "Request header fields too large"


class TooMany(Problem):
    """More than can be taken now."""

    status = 429
    title = "Too many requests"


class Unavailable(Problem):
    """Something this needs is away for now."""

    status = 503
    title = "Unavailable"


def problem_response(problem: Problem) -> Response:
    """Return the HTTP answer for a problem."""
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return _response(problem.to_dict(), headers)


def internal_error() -> Response:
    """Return the answer to an error nobody expected; it says nothing about the inside."""
    return _response(_details(500, "Internal error", "the service failed; its log has the details"))


def install(app: FastAPI) -> None:
    """Render every expected error of an application as problem details, the framework's own included.

    Errors nobody expected are rendered by `logs.RequestMiddleware`, which knows the request's id.
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
    schema = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    return {**schema.pop("$defs"), "ProblemDetails": schema}


def _documented(status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    documented: dict[str, Any] = {"description": _DESCRIPTIONS[status], "content": content}
    if status in _HEADERS:
        documented["headers"] = _HEADERS[status]
    return documented


def _details(status: int, title: str, detail: str, errors: Sequence[FieldError] = ()) -> dict[str, Any]:
    details: dict[str, Any] = {
        "type": _TYPE_PREFIX + title.lower().replace(" ", "-"),
        "title": title,
        "status": status,
        "detail": detail,
    }
    if errors:
        details["errors"] = [error.model_dump() for error in errors]
    return details


def _response(details: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    # json.dumps keeps to ASCII: a detail may quote text that UTF-8 cannot hold, such as half a surrogate pair.
    return Response(json.dumps(details), details["status"], headers, MEDIA_TYPE)


async def _on_problem(_: Request, problem: Problem) -> Response:
    return problem_response(problem)


async def _on_unavailable(request: Request, error: Exception) -> Response:
    log.warning("unavailable", path=request.url.path, reason=str(error))
    message = str(error) if isinstance(error, MissingSchemaError) else "a server behind this service is away"
    return problem_response(Unavailable(message, retry_after=RETRY_AFTER))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    title = _TITLES.get(error.status_code, HTTPStatus(error.status_code).phrase.capitalize())
    detail = _ROUTING_DETAILS.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return _response(_details(error.status_code, title, detail), headers)


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
    message = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "json_invalid":
        return FieldError(field="body", message=f"not valid JSON: {found['ctx']['error']}")
    return FieldError(field=_path(found["loc"]), message=_MESSAGES.get(found["type"], message))


def _path(location: Sequence[str | int]) -> str:
    """Return where an error is: `arms[0].id` in a body, the name of a parameter elsewhere."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location[1:])
    # A client may send a field name of any length.
    return path.removeprefix(".")[:LONGEST_PATH] or "body"
