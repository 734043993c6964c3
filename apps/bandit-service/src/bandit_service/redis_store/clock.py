"""The store's time as this process estimates it, so that replicas whose own clocks differ agree on it."""

from __future__ import annotations

from collections.abc import Callable


class StoreClock:
    """A clock in seconds since the epoch that follows the store's.

    Each answer of the store carries its time; it is taken to have been made half way between question and arrival, so
    the error is at most half a round trip (Cristian 1989, "Probabilistic clock synchronization").
    """

    def __init__(self, local: Callable[[], float]) -> None:
        self._local = local
        self._offset = 0.0

    def __call__(self) -> float:
        return self._local() + self._offset

    def local(self) -> float:
        """Return this process's own time, to be given to `observe`."""
        return self._local()

    def observe(self, store_ms: int, asked: float, answered: float) -> None:
        """Take the store's time from an answer; `asked` and `answered` are local times in seconds."""
        self._offset = store_ms / 1_000 - (asked + answered) / 2
