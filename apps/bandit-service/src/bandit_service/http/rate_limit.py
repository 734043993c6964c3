"""How much one API key may ask of this process: a token bucket for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bandit_core.rules.problems import TooMany
from bandit_service.domain.api_key import Principal
from bandit_service.http.auth import KeyRing
from bandit_service.metrics import Metrics
from bandit_service.settings import Settings

# Part of a token: sums of times are rounded, and a burst of ten shall be ten.
_ROUNDING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Rate:
    """So many items a second in the long run, and at most `burst` of them at once."""

    per_second: float
    burst: float

    @classmethod
    def of(cls, settings: Settings) -> Rate | None:
        """Return the rate that is set; None for no limit, as where no key tells callers apart."""
        if not settings.authenticates or settings.rate_limit == 0:
            return None
        burst = settings.rate_limit_burst
        return cls(settings.rate_limit, 2 * settings.rate_limit if burst is None else burst)


class Buckets:
    """A token bucket per key, kept as one number: the time at which it will be full again (GCRA, ITU-T I.371).

    A batch is let in as long as anything is left, and all its items are charged: it may leave its key in debt. So no
    batch is too large to be let in ever, none is let in by half, and in the long run the rate holds.
    """

    def __init__(self, rate: Rate, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._interval = 1.0 / rate.per_second
        self._burst_time = (rate.burst - 1.0 + _ROUNDING) * self._interval
        self._full_at: dict[str, float] = {}

    def take(self, key_id: str) -> float:
        """Take one token and return 0, or return the seconds until there is one."""
        now = self._monotonic()
        full_at = self._full_at.get(key_id, 0.0)
        if full_at - now > self._burst_time:
            return full_at - now - self._burst_time
        self._full_at[key_id] = max(full_at, now) + self._interval
        return 0.0

    def charge(self, key_id: str, items: int) -> None:
        """Take so many more tokens, whether there are any or not, after `take` has let the request in."""
        self._full_at[key_id] += items * self._interval


class Admission:
    """Lets a request in: from whom it is, and whether they have asked for too much."""

    def __init__(
        self, keyring: KeyRing, rate: Rate | None, *, metrics: Metrics, monotonic: Callable[[], float]
    ) -> None:
        self._caller = keyring.caller
        self._buckets = None if rate is None else Buckets(rate, monotonic)
        self._refused = metrics.rate_limited

    async def admit(self, headers: Mapping[str, str]) -> Principal:
        """Return who is calling, as `KeyRing.caller` does, and count their request.

        Raises:
            Unauthorized, Unavailable: as there.
            TooMany: the key has used up its rate.
        """
        principal = await self._caller(headers)
        if self._buckets is not None:
            wait = self._buckets.take(principal.key_id)
            if wait > 0:
                self._refused.labels(principal.key_id).inc()
                raise TooMany("your API key asks for more than its rate", retry_after=math.ceil(wait))
        return principal

    def charge(self, principal: Principal, items: int) -> None:
        """Count items of a request beyond its first."""
        if self._buckets is not None:
            self._buckets.charge(principal.key_id, items)
