"""How decisions were spread over arms and units."""

from __future__ import annotations

from bandit_service.ledger.pool import Pool, connected, statement


class TrafficRepository:
    """Counts of decisions and units. Methods raise PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def recent_selections(self, experiment_id: str, now: float, window: float) -> dict[int, tuple[int, int]]:
        """Return how often each arm was selected in the last `window` seconds, and in as many before those."""
        parameters = {"experiment_id": experiment_id, "now": now, "window": window}
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("recent_selections"), parameters)
            return {arm_index: (recent, earlier) for arm_index, recent, earlier in await cursor.fetchall()}

    async def unit_counts(self, experiment_id: str) -> tuple[int, int]:
        """Return how many units were shown a decision of the bandit first, and how many one of the holdout."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("exposed_unit_counts"), {"experiment_id": experiment_id})
            bandit, holdout = await cursor.fetchone() or (0, 0)
        return bandit, holdout
