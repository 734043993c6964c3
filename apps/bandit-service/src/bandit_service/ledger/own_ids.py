"""The claims on ids of callers' own."""

from __future__ import annotations

from bandit_service.ledger.pool import Pool, connected, statement


class OwnIdsRepository:
    """Reads claims. They are written by the statement that inserts their events."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, experiment_id: str, own_id: str) -> str | None:
        """Return the claim on an own id as JSON text, None without one.

        Raises:
            PostgresUnavailableError: Postgres is away.
        """
        async with connected(self._pool) as connection:
            cursor = await connection.execute(
                statement("own_claim"), {"experiment_id": experiment_id, "own_id": own_id}
            )
            row = await cursor.fetchone()
            return None if row is None else str(row[0])
