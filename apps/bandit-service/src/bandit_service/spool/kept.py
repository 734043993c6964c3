"""What a process keeps of its events until the ledger has had them for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bandit_service.domain.event import Row

# A standby that lags is promoted within this time, or an operator looks at it first.
KEPT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Rows that a statement reported, and when it did; `entry` is the spool's last entry that holds one of them."""

    at: float
    rows: tuple[Row, ...]
    entry: str | None


class KeptRows:
    """The rows that the ledger has reported, oldest first, kept so that they can be written again after a failover.

    Rows are forgotten a minute after their statement, and only once Postgres has answered on the same timeline after
    that minute: during an outage nothing is forgotten.
    """

    def __init__(self) -> None:
        self._confirmed: deque[Confirmed] = deque()
        self.count = 0

    def add(self, at: float, rows: Iterable[Row], entry: str | None = None) -> None:
        confirmed = Confirmed(at, tuple(rows), entry)
        self._confirmed.append(confirmed)
        self.count += len(confirmed.rows)

    def __iter__(self) -> Iterator[Row]:
        for confirmed in tuple(self._confirmed):
            yield from confirmed.rows

    def confirm_again(self, now: float) -> None:
        """Keep everything as long as if it had been reported now."""
        self._confirmed = deque(Confirmed(now, each.rows, each.entry) for each in self._confirmed)

    def forget(self, now: float) -> str | None:
        """Forget what is old enough, given that Postgres has just answered; return the newest entry forgotten."""
        newest: str | None = None
        while self._confirmed and now - self._confirmed[0].at >= KEPT_SECONDS:
            old = self._confirmed.popleft()
            self.count -= len(old.rows)
            newest = old.entry or newest
        return newest
