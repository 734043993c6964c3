"""Posteriors of a moment, kept for pictures and notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from bandit_core.rules.records import ArmSnapshot, SnapshotReport
from bandit_service.ledger.pool import Pool, connected, statement


class SnapshotsRepository:
    """Takes snapshots. Methods raise PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take_due(self, experiment_ids: Sequence[str], every: float) -> list[str]:
        """Take a snapshot of experiments whose totals have moved since the last; return which those are.

        Args:
            experiment_ids: Which to look at.
            every: The least time between two snapshots of one experiment, in seconds.
        """
        async with connected(self._pool) as connection:
            parameters = {"experiment_ids": list(experiment_ids), "min_events": 1, "every": every}
            cursor = await connection.execute(statement("take_due_snapshots"), parameters)
            return [experiment_id for experiment_id, _ in await cursor.fetchall()]

    async def take(self, experiment_id: str, min_events: int) -> SnapshotReport:
        """Take a snapshot if the totals have moved by so many events since the last one; return the newest."""
        async with connected(self._pool) as connection:
            parameters = {"experiment_ids": [experiment_id], "min_events": min_events, "every": 0.0}
            taken = (await connection.execute(statement("take_due_snapshots"), parameters)).rowcount > 0
            cursor = await connection.execute(statement("newest_snapshot"), {"experiment_id": experiment_id})
            rows = await cursor.fetchall()
        return SnapshotReport(
            experiment_id=experiment_id,
            taken=taken,
            taken_at=rows[0][0] if rows else None,
            arms=tuple(ArmSnapshot(*posterior) for _, *posterior in rows),
        )
