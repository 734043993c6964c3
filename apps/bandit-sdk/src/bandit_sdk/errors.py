"""What can go wrong, as a tree.

    BanditError
    ├── AwayError                  no usable answer now: asking again later may help
    │   ├── UnreachableError       nothing answered in the time there was
    │   ├── TooManyRequestsError   429
    │   ├── UnavailableError       503, and every other 5xx and 408
    │   └── UnexpectedAnswerError  what answered is not bandit-service
    └── RefusedError               the request itself is the reason: sending it again does not help
        ├── BadRequestError        400
        ├── UnauthorizedError      401
        ├── ForbiddenError         403
        ├── NotFoundError          404
        ├── ConflictError          409
        ├── ExpiredError           410
        ├── TooLargeError          413
        └── InvalidError           422

Each carries the problem document of the answer (RFC 9457) where there was one.
"""

from __future__ import annotations

from typing import Final

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as bandit-service describes it (RFC 9457)."""

    status: int
    title: str = ""
    detail: str = ""
    type: str = "about:blank"
    errors: tuple[FieldError, ...] = ()


class BanditError(Exception):
    """The base of every error of this package; `problem` is what the service said, None if it said nothing."""

    def __init__(self, message: str, *, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class AwayError(BanditError):
    """No usable answer now."""


class UnreachableError(AwayError):
    """Nothing answered in the time there was; what was asked may or may not have happened."""


class TooManyRequestsError(AwayError):
    """The service takes no more requests now."""


class UnavailableError(AwayError):
    """The service, or a server behind it, cannot answer now."""


class UnexpectedAnswerError(AwayError):
    """What answered is not bandit-service: check the URL, and what stands in between."""


class RefusedError(BanditError):
    """The request is the reason; `problem.errors` names the fields where fields are wrong."""


class BadRequestError(RefusedError):
    """The request cannot be read."""


class UnauthorizedError(RefusedError):
    """There is no valid API key in the request."""


class ForbiddenError(RefusedError):
    """The API key may not do this."""


class NotFoundError(RefusedError):
    """There is nothing of that name, or nothing the API key may see."""


class ConflictError(RefusedError):
    """The request does not fit the present state."""


class ExpiredError(RefusedError):
    """It was possible once, and no longer is: a reward after its window."""


class TooLargeError(RefusedError):
    """The request is larger than the service takes."""


class InvalidError(RefusedError):
    """The request is readable but wrong."""


_BY_STATUS: Final[dict[int, type[BanditError]]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    410: ExpiredError,
    413: TooLargeError,
    422: InvalidError,
    429: TooManyRequestsError,
}


def error_for(problem: Problem) -> BanditError:
    """Return the exception for a problem."""
    kind = _BY_STATUS.get(problem.status, UnavailableError if problem.status >= 500 else RefusedError)
    return kind(f"{problem.detail or problem.title or 'no reason given'} ({problem.status})", problem=problem)
