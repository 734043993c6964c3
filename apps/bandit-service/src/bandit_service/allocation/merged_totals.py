"""Totals as the lease-holder reads them, again and again: older rows merged and passed over, older versions folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import batched, islice
from typing import Final

from bandit_service.ledger.leases import FencedError, Lease
from bandit_service.ledger.slots import oldest_in_use
from bandit_service.ledger.totals import Reading, TotalsRepository
from bandit_service.ledger.weight_periods import Periods, WeightPeriodsRepository

# For so long after its last reading an experiment may have rows that are not merged.
_ACTIVE_SECONDS: Final = 60.0
_MERGED_AT_ONCE: Final = 200
# Versions of an experiment are folded so often; sooner, if so many would be read again and again.
FOLD_EVERY: Final = 60.0
_MANY_VERSIONS: Final = 100
_FOLDED_AT_ONCE: Final = 50
_NONE: Final = Periods()


class MergedTotals:
    """The totals of experiments that this process looks after.

    Methods raise PostgresUnavailableError while Postgres is away.

    Args:
        repository: The totals.
        periods: Versions of the weights that are over.
        clock: The time in seconds.
    """

    def __init__(
        self, repository: TotalsRepository, periods: WeightPeriodsRepository, *, clock: Callable[[], float]
    ) -> None:
        self._repository = repository
        self._periods_repository = periods
        self._clock = clock
        self._read_at: dict[str, float] = {}
        self._floors: dict[str, int] = {}
        self._periods: dict[str, Periods] = {}
        # How many versions the last reading had, and when those before it were folded.
        self._versions: dict[str, int] = {}
        self._folded_at: dict[str, float] = {}

    async def read(self, experiment_ids: Sequence[str]) -> Reading:
        """Return the totals of experiments, without rows that came late and are merged by the next `merge`."""
        now = self._clock()
        self._read_at |= dict.fromkeys(experiment_ids, now)
        reading = await self._repository.read(experiment_ids, self._floors)
        await self._find_periods(reading)
        for name, totals in reading.totals.items():
            self._versions[name] = len(totals.versions)
            if name in self._periods:
                reading.totals[name] = replace(totals, periods=self._periods[name].periods)
        return reading

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
        self._periods = {name: periods for name, periods in self._periods.items() if name in self._read_at}
        return merged

    async def fold(self, leases: Mapping[str, Lease]) -> set[str]:
        """Fold versions that are over into periods, where it is time; return experiments whose lease has gone."""
        lost = set()
        due = (name for name in leases if self._is_to_fold(name))
        for name in list(islice(due, _FOLDED_AT_ONCE)):
            try:
                periods = await self._periods_repository.fold(leases[name], self._known(name))
            except FencedError:
                lost.add(name)
                continue
            self._versions.pop(name, None)
            if periods is not None:
                self._folded_at[name] = self._clock()
                self._periods[name] = periods
        return lost

    def forget(self, experiment_id: str) -> None:
        """Read all rows next time: the lease has gone, maybe in a failover that lost what was merged."""
        for times in (self._read_at, self._folded_at):
            times.pop(experiment_id, None)
        for numbers in (self._floors, self._versions):
            numbers.pop(experiment_id, None)
        self._periods.pop(experiment_id, None)

    async def _find_periods(self, reading: Reading) -> None:
        """Read the periods that are not those which the totals go with.

        Others fold too, once a lease has gone to them, and a commit may have been made that nobody confirmed: so totals
        are read again until they and the periods are of the same number of folds.
        """
        while stale := [name for name, folds in reading.folds.items() if self._known(name).folds != folds]:
            self._periods |= await self._periods_repository.read(stale)
            again = await self._repository.read(stale, self._floors)
            reading.totals.update(again.totals)
            reading.folds.update(again.folds)

    def _known(self, experiment_id: str) -> Periods:
        return self._periods.get(experiment_id, _NONE)

    def _is_to_fold(self, experiment_id: str) -> bool:
        versions = self._versions.get(experiment_id, 0)
        if versions <= 1:
            return False
        is_time = self._clock() - self._folded_at.get(experiment_id, float("-inf")) >= FOLD_EVERY
        return is_time or versions > _MANY_VERSIONS
