"""Reads what the events of experiments add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bandit_service.domain.totals import Sums, Totals, totals_of
from bandit_service.ledger.arrays import TEXT, packed
from bandit_service.ledger.pool import Pool, in_one_trip, numbered_statement


class TotalsRepository:
    """The totals in Postgres. Methods raise PostgresUnavailableError while it is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, experiment_ids: Sequence[str]) -> dict[str, Totals]:
        """Return the totals of experiments as of one moment; of those without events they are empty."""
        if not experiment_ids:
            return {}
        sums: dict[str, list[Sums]] = defaultdict(list)
        as_of = 0.0
        parameters = {"experiment_ids": packed(TEXT, experiment_ids)}
        for at, experiment_id, *row in await in_one_trip(self._pool, numbered_statement("totals"), parameters):
            as_of = at
            if experiment_id is not None:
                sums[experiment_id].append(Sums._make((*row[:-1], int(row[-1]))))
        return {name: totals_of(sums.get(name, ()), as_of) for name in experiment_ids}

    async def changed(self, experiment_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return how many decisions and rewards of each experiment were counted in all strata: a sign of change."""
        if not experiment_ids:
            return {}
        parameters = {"experiment_ids": packed(TEXT, experiment_ids)}
        rows = await in_one_trip(self._pool, numbered_statement("totals_changed"), parameters)
        found = {name: (decisions, rewards) for name, decisions, rewards in rows}
        return {name: found.get(name, (0, 0)) for name in experiment_ids}
