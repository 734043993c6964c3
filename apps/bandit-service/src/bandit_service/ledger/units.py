"""What Postgres knows of units, by the hash they are stored under."""

from __future__ import annotations

from collections.abc import Sequence

from bandit_service.ledger.pool import Pool, connected, statement

# There is no index by unit: it would cost every decision something, and erasures are rare and may take their time.
_ERASE_SECONDS = 3_600.0


class UnitsRepository:
    """The units. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def salt(self, namespace: str) -> str | None:
        """Return the salt, as hexadecimal digits, that the namespace's unit ids are hashed with."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("namespace_salt"), {"name": namespace})
            row = await cursor.fetchone()
            return None if row is None else str(row[0])

    async def experiments(self, namespace: str) -> list[str]:
        """Return the ids of a namespace's experiments."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(
                "SELECT id FROM experiments WHERE namespace = %s ORDER BY id", [namespace]
            )
            return [experiment_id for (experiment_id,) in await cursor.fetchall()]

    async def forget(self, experiment_id: str, hashes: Sequence[str]) -> int:
        """Take units out of an experiment's events; return how many events named them."""
        parameters = {"experiment_id": experiment_id, "hashes": [bytes.fromhex(name) for name in hashes]}
        async with connected(self._pool, timeout=_ERASE_SECONDS) as connection:
            cursor = await connection.execute(statement("forget_units"), parameters)
            events = cursor.rowcount
            await connection.execute(statement("forget_exposed_units"), parameters)
            return events
