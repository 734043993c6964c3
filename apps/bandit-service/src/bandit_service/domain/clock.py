"""A clock that follows a server's, so that processes whose own clocks differ, or are set, agree on the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# How fast a clock that is being disciplined may run away from true time.
_DRIFT: Final = 0.0005


class AnchoredClock:
    """A clock in seconds since the epoch that follows a server's.

    An answer of the server carries its time; it is taken to have been made half way between question and arrival, so
    the error is at most half a round trip (Cristian 1989, "Probabilistic clock synchronization"). In between the time
    is counted by a clock that is never set.

    Args:
        monotonic: Counts seconds.
        now: The time until the server has been heard.
    """

    def __init__(self, monotonic: Callable[[], float], *, now: float) -> None:
        self._monotonic = monotonic
        self._offset = now - monotonic()
        self._error = float("inf")
        self._observed_at = 0.0

    def __call__(self) -> float:
        return self._monotonic() + self._offset

    def local(self) -> float:
        """Return this process's own count of seconds, to be given to `observe`."""
        return self._monotonic()

    def observe(self, server_ms: int, asked: float, answered: float) -> None:
        """Take the server's time from an answer; `asked` and `answered` are local times in seconds.

        A slow answer says less than a quick one of before, unless it shows that one of the clocks was set.
        """
        offset, error = server_ms / 1_000 - (asked + answered) / 2, (answered - asked) / 2
        known = self._error + _DRIFT * (answered - self._observed_at)
        if error <= known or abs(offset - self._offset) > error + known:
            self._offset, self._error, self._observed_at = offset, error, answered
