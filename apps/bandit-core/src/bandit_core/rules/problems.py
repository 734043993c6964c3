"""Every refusal a client can see. `http.problems` renders them as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field."""

    field: Annotated[
        str,
        msgspec.Meta(description="Where, as a path into the body, or the parameter's name", examples=["arms[0].id"]),
    ]
    message: Annotated[str, msgspec.Meta(description="What is wrong and what to do", examples=["must be unique"])]


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error (RFC 9457)."""

    type: Annotated[
        str, msgspec.Meta(description="Names the kind of problem", examples=["urn:bandit:problem:not-found"])
    ]
    title: Annotated[str, msgspec.Meta(description="Short summary of the kind of problem", examples=["Not found"])]
    status: Annotated[int, msgspec.Meta(description="The HTTP status", ge=400, le=599, examples=[404])]
    detail: Annotated[
        str, msgspec.Meta(description="What happened this time", examples=["there is no experiment 'homepage'"])
    ]
    errors: Annotated[tuple[FieldError, ...], msgspec.Meta(description="The fields that are wrong")] = ()


def problem_details(status: int, title: str, detail: str, errors: Sequence[FieldError] = ()) -> ProblemDetails:
    """Return an error as it is sent."""
    kind = "urn:bandit:problem:" + title.lower().replace(" ", "-")
    return ProblemDetails(type=kind, title=title, status=status, detail=detail, errors=tuple(errors))


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

    @property
    def details(self) -> ProblemDetails:
        """The problem as it is sent."""
        return problem_details(self.status, self.title, self.detail, self.errors)

    @classmethod
    def field(cls, name: str, message: str) -> Self:
        """Return the problem that one field is wrong."""
        return cls(f"{name}: {message}", errors=[FieldError(field=name, message=message)])


type OrProblem[T] = T | Problem


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


class Encoded(Problem):
    """The body is compressed, or encoded in another way."""

    status = 415
    title = "Unsupported media type"


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
