"""Who looks after an experiment: one process at a time, and a former one cannot commit any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection

from bandit_service.ledger.arrays import FLOAT, TEXT, packed
from bandit_service.ledger.pool import Pool, connected, in_one_trip, numbered_statement, statement

MOST_AT_ONCE: Final = 500


class FencedError(Exception):
    """The lease has gone to another process. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of a process to settle an experiment and to publish its weights.

    `token` is higher at every change of holder, and on every later timeline of Postgres.
    """

    experiment_id: str
    holder: str
    token: int


class LeasesRepository:
    """The leases of one process, which keeps them by its heartbeat as the producer `holder`.

    Every method raises PostgresUnavailableError while Postgres is away.
    """

    def __init__(self, pool: Pool, *, holder: str) -> None:
        self._pool = pool
        self._holder = holder
        self._held: Mapping[str, Lease] = {}
        self._digest: str | None = None

    def rename(self, holder: str) -> None:
        """Go on as another producer, after this one was marked dead. Its leases are lost."""
        self._holder = holder
        self._digest = None

    async def claim(self, life: float, *, most: int = MOST_AT_ONCE) -> Mapping[str, Lease]:
        """Take leases without a holder, at most so many; return all that are held, by experiment.

        While they are the same, so is the mapping.

        Args:
            life: Seconds without a heartbeat after which a holder loses its leases.
            most: How many leases are taken by one call.
        """
        holder = self._holder
        parameters = {"holder": holder, "life": life, "most": most, "digest": self._digest}
        rows = await in_one_trip(self._pool, numbered_statement("claim_leases"), parameters)
        [(digest, experiment_ids, tokens)] = rows
        if digest != self._digest or holder != self._holder:
            pairs = zip(experiment_ids or (), tokens or (), strict=True)
            self._held = {name: Lease(name, holder, token) for name, token in pairs}
            self._digest = digest if holder == self._holder else None
        return self._held

    async def take(self, experiment_id: str, life: float) -> Lease | None:
        """Take the lease of an experiment, unless another process holds it."""
        parameters = {"experiment_id": experiment_id, "holder": self._holder, "life": life}
        rows = await in_one_trip(self._pool, numbered_statement("take_lease"), parameters)
        return Lease(experiment_id, self._holder, rows[0][0]) if rows else None

    async def release(self) -> None:
        """Give every lease back, so that another process can go on at once."""
        async with connected(self._pool) as connection:
            await connection.execute(statement("release_leases"), {"holder": self._holder})

    async def unsettled(self, experiment_ids: Sequence[str]) -> set[str]:
        """Return which of these experiments have decisions to settle."""
        parameters = {"experiment_ids": packed(TEXT, experiment_ids)}
        rows = await in_one_trip(self._pool, numbered_statement("unsettled_in"), parameters)
        return {experiment_id for (experiment_id,) in rows}

    async def due(self, windows: Mapping[str, float]) -> set[str]:
        """Return which of these experiments have decisions whose reward window has ended.

        Args:
            windows: The reward window of each experiment, in seconds.
        """
        parameters = {"experiment_ids": packed(TEXT, list(windows)), "windows": packed(FLOAT, list(windows.values()))}
        rows = await in_one_trip(self._pool, numbered_statement("due_in"), parameters)
        return {experiment_id for (experiment_id,) in rows}


async def lock(connection: AsyncConnection[Any], lease: Lease) -> int:
    """Lock the row of a lease until the end of the transaction; return the turn of its last settling.

    Raises:
        FencedError: the lease has gone to another process.
    """
    parameters = {"experiment_id": lease.experiment_id, "holder": lease.holder, "token": lease.token}
    cursor = await connection.execute(statement("lock_lease"), parameters)
    row = await cursor.fetchone()
    if row is None:
        raise FencedError(lease.experiment_id)
    return int(row[0])
