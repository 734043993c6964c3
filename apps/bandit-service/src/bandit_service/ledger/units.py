"""What Postgres knows of units, by the hash they are stored under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from bandit_service.ledger import maintenance
from bandit_service.ledger.pool import Pool, connected, statement

# There is no index by unit: it would cost every decision something, and erasures are rare and may take their time.
_ERASE_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows named the units."""

    events: int
    exposures: int


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

    async def timeline(self) -> str:
        """Return the timeline that Postgres is on; a failover changes it."""
        async with connected(self._pool) as connection:
            # An old primary still answers on sessions that have outlived a failover, but it takes no write.
            await connection.execute(statement("insert_tombstones"), {"hashes": _bytes([])})
            [timeline] = await (await connection.execute("SELECT ledger_timeline()")).fetchone() or [""]
            return str(timeline)

    async def bury(self, hashes: Sequence[str]) -> int:
        """Have batches that still name units lose the names from now on; return the transaction's id."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("insert_tombstones"), {"hashes": _bytes(hashes)})
            return int(max(transaction_id for (transaction_id,) in await cursor.fetchall()))

    async def outlive(self, transaction_id: int, *, patience: float) -> None:
        """Return once no statement runs that may write a unit's name in spite of its tombstone.

        Raises:
            StillRunningError: it takes longer than `patience` seconds.
        """
        await maintenance.outlive(self._pool, transaction_id, patience=patience)

    async def sweep(self, experiment_ids: Sequence[str], hashes: Sequence[str]) -> Swept:
        """Take units out of everything that Postgres keeps of experiments, table by table."""
        parameters = {"experiment_ids": list(experiment_ids), "hashes": _bytes(hashes), "names": list(hashes)}
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("partitions"))
            tables = [name for (name,) in await cursor.fetchall()]
        # Rows move from the default partition to others, never back: swept first, none of them is missed.
        events = 0
        for table in sorted(tables, key=lambda name: (name != maintenance.DEFAULT_PARTITION, name)):
            events += await self._sweep_table(table, parameters)
        async with connected(self._pool, timeout=_ERASE_SECONDS) as connection:
            cursor = await connection.execute(statement("erase_exposures"), parameters)
            exposures = cursor.rowcount
            await connection.execute(statement("erase_refused"), parameters)
        return Swept(events, exposures)

    async def _sweep_table(self, table: str, parameters: Mapping[str, object]) -> int:
        async with connected(self._pool, timeout=_ERASE_SECONDS) as connection:
            await maintenance.wait_for_turn(connection)
            cursor = await connection.execute("SELECT to_regclass(%s) IS NULL", [table])
            if await cursor.fetchone() == (True,):  # dropped meanwhile
                return 0
            query = sql.SQL(statement("erase_events")).format(events=sql.Identifier(table))
            return (await connection.execute(query, parameters)).rowcount


def _bytes(hashes: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(name) for name in hashes]
