"""Posteriors of a moment, kept for pictures and notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from bandit_service.ledger.pool import Pool, connected, statement


class SnapshotsRepository:
    """Takes snapshots. Its method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take_due(self, experiment_ids: Sequence[str], every: float) -> list[str]:
        """Take a snapshot of experiments whose totals have moved since the last; return which those are.

        Args:
            experiment_ids: Which to look at.
            every: The least time between two snapshots of one experiment, in seconds.
        """
        async with connected(self._pool) as connection:
            parameters = {"experiment_ids": list(experiment_ids), "every": every}
            cursor = await connection.execute(statement("take_due_snapshots"), parameters)
            return [experiment_id for (experiment_id,) in await cursor.fetchall()]
