"""Reads what the events of experiments add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bandit_service.domain.totals import Sums, Totals, totals_of
from bandit_service.ledger.arrays import BIGINT, TEXT, packed
from bandit_service.ledger.pool import Pool, in_one_trip, numbered_statement


class Reading(NamedTuple):
    """The totals of experiments as of one moment, and which of them have decisions to settle.

    `folds` is how often versions of each were folded into periods: `WeightPeriodsRepository` reads those.
    """

    totals: dict[str, Totals]
    unsettled: set[str]
    folds: dict[str, int]


class TotalsRepository:
    """The totals in Postgres. Methods raise PostgresUnavailableError while it is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, experiment_ids: Sequence[str], floors: Mapping[str, int] | None = None) -> Reading:
        """Return the totals of experiments; of those without events they are empty.

        Args:
            experiment_ids: Which to read.
            floors: The slot, by experiment, before which the caller has merged all rows; what came into those later
                is not read. Unless given, all rows are read.
        """
        if not experiment_ids:
            return Reading({}, set(), {})
        known = floors or {}
        parameters = {
            "experiment_ids": packed(TEXT, experiment_ids),
            "floors": packed(BIGINT, [known.get(name, 0) for name in experiment_ids]),
        }
        sums: dict[str, list[Sums]] = defaultdict(list)
        as_of, unsettled, folds = 0.0, set[str](), dict[str, int]()
        rows = await in_one_trip(self._pool, numbered_statement("totals"), parameters)
        for as_of, experiment_id, is_unsettled, number, *row in rows:  # noqa: B007 (the same in every row)
            folds[experiment_id] = number
            if is_unsettled:
                unsettled.add(experiment_id)
            if row[0] is not None:
                sums[experiment_id].append(Sums._make((*row[:-1], int(row[-1]))))
        return Reading({name: totals_of(sums.get(name, ()), as_of) for name in experiment_ids}, unsettled, folds)

    async def changed(self, experiment_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return how many decisions and rewards of each experiment were counted in all strata: a sign of change."""
        if not experiment_ids:
            return {}
        parameters = {"experiment_ids": packed(TEXT, experiment_ids)}
        rows = await in_one_trip(self._pool, numbered_statement("totals_changed"), parameters)
        found = {name: (decisions, rewards) for name, decisions, rewards in rows}
        return {name: found.get(name, (0, 0)) for name in experiment_ids}

    async def merge(self, experiment_ids: Sequence[str], before: int) -> set[str]:
        """Merge rows of slots before one into slot 0; return the experiments that had any."""
        if not experiment_ids:
            return set()
        parameters = {"experiment_ids": packed(TEXT, experiment_ids), "before": before}
        return {name for (name,) in await in_one_trip(self._pool, numbered_statement("merge_totals"), parameters)}
