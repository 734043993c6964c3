"""What a process keeps of its events until the ledger has had them for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from bandit_service.domain.event import Row
from bandit_service.spool.packing import pack_rows, unpack_rows

# A standby that lags is promoted within this time, or an operator looks at it first.
KEPT_SECONDS: Final = 60.0


# So many rows are packed together.
_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Rows that were reported up to that time, as they are or packed.

    `entry` is the spool's last entry that holds one of them.
    """

    at: float
    rows: tuple[Row, ...] | bytes
    count: int
    entry: str | None

    def __iter__(self) -> Iterator[Row]:
        return iter(unpack_rows(self.rows) if isinstance(self.rows, bytes) else self.rows)


class KeptRows:
    """The rows that the ledger has reported, oldest first, kept so that they can be written again after a failover.

    Rows are forgotten a minute after their statement, and only once Postgres has answered on the same timeline after
    that minute: during an outage nothing is forgotten. All but the latest are packed.
    """

    def __init__(self) -> None:
        self._packed: deque[Confirmed] = deque()
        self._latest: list[Confirmed] = []
        self._latest_count = 0
        self.count = 0

    def add(self, at: float, rows: Iterable[Row], entry: str | None = None) -> None:
        confirmed = tuple(rows)
        self._latest.append(Confirmed(at, confirmed, len(confirmed), entry))
        self._latest_count += len(confirmed)
        self.count += len(confirmed)
        if self._latest_count >= _AT_ONCE:
            self._pack()

    def __iter__(self) -> Iterator[Row]:
        for confirmed in (*self._packed, *self._latest):
            yield from confirmed

    def confirm_again(self, now: float) -> None:
        """Keep everything as long as if it had been reported now."""
        self._packed = deque(replace(each, at=now) for each in self._packed)
        self._latest = [replace(each, at=now) for each in self._latest]

    def forget(self, now: float) -> str | None:
        """Forget what is old enough, given that Postgres has just answered; return the newest entry forgotten."""
        newest: str | None = None
        while self._packed and now - self._packed[0].at >= KEPT_SECONDS:
            old = self._packed.popleft()
            self.count -= old.count
            newest = old.entry or newest
        if self._packed:
            return newest
        while self._latest and now - self._latest[0].at >= KEPT_SECONDS:
            old = self._latest.pop(0)
            self.count -= old.count
            self._latest_count -= old.count
            newest = old.entry or newest
        return newest

    def _pack(self) -> None:
        rows = [row for confirmed in self._latest for row in confirmed]
        entry = next((each.entry for each in reversed(self._latest) if each.entry is not None), None)
        self._packed.append(Confirmed(self._latest[-1].at, pack_rows(rows), len(rows), entry))
        self._latest.clear()
        self._latest_count = 0
