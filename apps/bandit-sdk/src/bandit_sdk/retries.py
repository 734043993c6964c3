"""When a request is sent again, how long to wait before, and when to give up; time and chance come from outside.

A request is sent again only if that can do no harm: it carries its idempotency key, or the answer says that nothing was
done (429 and 503: bandit-service applies nothing by halves), or there was no connection to send it through.

Pauses are drawn evenly from 0 to the backoff ("full jitter", Brooker 2015, "Exponential backoff and jitter", AWS
Architecture Blog), and are never shorter than what `Retry-After` asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, Final

import httpx

from bandit_sdk.connection import refused_certificate
from bandit_sdk.errors import AwayError, BanditError, UnavailableError, UnreachableError
from bandit_sdk.plain import encoded
from bandit_sdk.requests import Call
from bandit_sdk.responses import error_in, is_success

_NOTHING_WAS_DONE: Final = frozenset({429, 503})
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_LEAST_TIMEOUT: Final = 0.001


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and for how long a request is tried.

    `attempts`: at most so many, at least 1. `budget`: seconds for all attempts and pauses together; no attempt begins
    after them, and each wait for bytes ends with them. `base`: the first backoff in seconds; it doubles each time, up
    to `cap`. Raises ValueError for values out of range.
    """

    attempts: int = 4
    budget: float = 5.0
    base: float = 0.1
    cap: float = 2.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise ValueError(f"attempts must be a whole number of at least 1, got {self.attempts!r}")
        if not 0.0 < self.budget < math.inf:
            raise ValueError(f"budget must be a finite number above 0, got {self.budget!r}")
        for name, seconds in (("base", self.base), ("cap", self.cap)):
            if not 0.0 <= seconds < math.inf:
                raise ValueError(f"{name} must be a finite number of at least 0, got {seconds!r}")

    def backoff(self, attempt: int, rng: Random) -> float:
        """Return a pause in seconds after that attempt, counted from 1."""
        # No backoff is longer than after 64 attempts, and a power of 1,024 would overflow.
        return rng.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt - 1, 63)))


@dataclass(frozen=True, slots=True)
class Patience:
    """What every request of a client shares: its retries, the seconds for one attempt, time and chance.

    `proxy`: what requests go through, for messages; empty without one.
    """

    retries: Retries
    timeout: float
    clock: Callable[[], float]
    rng: Random
    proxy: str = ""


class Exchange[T]:
    """One request through all its attempts. The caller sends and sleeps; this says what to do next.

    Raises InvalidError if a field of the body holds what JSON does not.
    """

    def __init__(self, call: Call[T], patience: Patience) -> None:
        self._call = call
        self._content = None if call.body is None else encoded(call.body)
        self._patience = patience
        self._deadline = patience.clock() + patience.retries.budget
        self._attempt = 0

    def attempt(self) -> dict[str, Any]:
        """Begin an attempt; return what to send, and for how long to wait, as arguments of httpx."""
        self._attempt += 1
        return {
            "method": self._call.method,
            "url": self._call.path,
            "params": self._call.params,
            "content": self._content,
            "headers": None if self._content is None else {"Content-Type": "application/json"},
            "timeout": max(_LEAST_TIMEOUT, min(self._patience.timeout, self._deadline - self._patience.clock())),
        }

    def failed(self, error: httpx.RequestError) -> float:
        """Return how long to pause before the next attempt after one without an answer.

        Raises:
            UnreachableError: there is no next attempt.
        """
        if reason := refused_certificate(error):
            through = f" through the proxy {self._patience.proxy}" if self._patience.proxy else ""
            raise UnreachableError(
                f"the certificate of bandit-service{through} is not accepted ({reason}); SSL_CERT_FILE may name the "
                "certificates of further authorities"
            )
        gone = UnreachableError(_no_answer(error, self._attempt, self._patience.proxy))
        return self._pause(gone, may_repeat=self._call.repeatable or isinstance(error, _NOT_SENT))

    def refused(self, response: httpx.Response) -> float | None:
        """Return how long to pause before the next attempt; None if the answer is a success.

        Raises:
            BanditError: it is no success, and there is no next attempt.
        """
        if is_success(response):
            return None
        error = error_in(response)
        if not isinstance(error, AwayError):
            raise error
        repeats = response.status_code in _NOTHING_WAS_DONE or (
            self._call.repeatable and isinstance(error, UnavailableError)
        )
        return self._pause(error, may_repeat=repeats, at_least=retry_after(response.headers) or 0.0)

    def _pause(self, error: BanditError, *, may_repeat: bool, at_least: float = 0.0) -> float:
        retries = self._patience.retries
        pause = max(at_least, retries.backoff(self._attempt, self._patience.rng))
        ends = self._patience.clock() + pause
        if not may_repeat or self._attempt >= retries.attempts or ends >= self._deadline:
            raise error
        return pause


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds that `Retry-After` asks to wait; None if it is missing or makes no sense.

    A date is compared with the answer's own `Date`, so the two machines' clocks need not agree.
    """
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    until, now = _date(text), _date(headers.get("date", ""))
    return None if until is None or now is None else max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None


def _no_answer(error: httpx.RequestError, attempts: int, proxy: str) -> str:
    tried = f" through the proxy {proxy}" if proxy else ""
    tried += f" after {attempts} attempts" if attempts > 1 else ""
    what = str(error) or "it took too long"
    return f"bandit-service did not answer{tried}: {what} ({type(error).__name__})"
