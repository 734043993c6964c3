"""Totals as the lease-holder reads them, again and again: older rows merged, and passed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import batched
from typing import Final

from bandit_service.ledger.slots import oldest_in_use
from bandit_service.ledger.totals import Reading, TotalsRepository

# For so long after its last reading an experiment may have rows that are not merged.
_ACTIVE_SECONDS: Final = 60.0
_MERGED_AT_ONCE: Final = 200


class MergedTotals:
    """The totals of experiments that this process looks after.

    Methods raise PostgresUnavailableError while Postgres is away.
    """

    def __init__(self, repository: TotalsRepository, *, clock: Callable[[], float]) -> None:
        self._repository = repository
        self._clock = clock
        self._read_at: dict[str, float] = {}
        self._floors: dict[str, int] = {}

    async def read(self, experiment_ids: Sequence[str]) -> Reading:
        """Return the totals of experiments, without rows that came late and are merged by the next `merge`."""
        self._read_at |= dict.fromkeys(experiment_ids, self._clock())
        return await self._repository.read(experiment_ids, self._floors)

    async def changed(self, experiment_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return how many decisions and rewards of each experiment were counted: of all rows, also late ones."""
        return await self._repository.changed(experiment_ids)

    async def merge(self) -> set[str]:
        """Merge older rows of experiments that were read lately; return those that had any: some may have come late."""
        now = self._clock()
        before = oldest_in_use(round(now * 1_000))
        merged: set[str] = set()
        for names in batched(list(self._read_at), _MERGED_AT_ONCE):
            merged |= await self._repository.merge(names, before)
            self._floors |= {name: before for name in names if name in self._read_at}
        self._read_at = {name: at for name, at in self._read_at.items() if now - at < _ACTIVE_SECONDS}
        return merged

    def forget(self, experiment_id: str) -> None:
        """Read all rows next time: the lease has gone, maybe in a failover that lost what was merged."""
        self._read_at.pop(experiment_id, None)
        self._floors.pop(experiment_id, None)
