"""What linear models are rebuilt from: a checkpoint, and the outcomes that were settled after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from bandit_service.ledger.leases import FencedError, Lease, lock
from bandit_service.ledger.pool import Pool, connected, pages, statement

_READ_TIMEOUT: Final = 300.0


class LearntOutcome(NamedTuple):
    """The reward of an arm in a context (JSON text)."""

    arm_index: int
    reward_micro: int
    event_ms: int
    context: str


class Checkpoint(NamedTuple):
    """The state of an experiment's models at a turn."""

    turn: int
    state: bytes


class LinearOutcomes:
    """The outcomes and checkpoints of linear models in Postgres.

    Methods raise PostgresUnavailableError while it is away.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def turn(self, lease: Lease) -> int:
        """Return the last turn of settling.

        Raises:
            FencedError: the lease has gone to another process.
        """
        parameters = {"experiment_id": lease.experiment_id, "holder": lease.holder, "token": lease.token}
        async with connected(self._pool) as connection:
            row = await (await connection.execute(statement("lease_turn"), parameters)).fetchone()
        if row is None:
            raise FencedError(lease.experiment_id)
        return int(row[0])

    async def last_turn(self, experiment_id: str) -> int:
        """Return the last turn of settling by any process; 0 if there was none."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("last_turn"), {"experiment_id": experiment_id})
            row = await cursor.fetchone()
        return 0 if row is None else int(row[0])

    async def checkpoint(self, experiment_id: str) -> Checkpoint | None:
        """Return the last checkpoint, if there is one."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("linear_checkpoint"), {"experiment_id": experiment_id})
            row = await cursor.fetchone()
        return None if row is None else Checkpoint(*row)

    async def save(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, unless there is one of a later turn.

        Raises:
            FencedError: the lease has gone to another process.
        """
        async with connected(self._pool) as connection:
            await lock(connection, lease)
            await connection.execute(
                statement("save_linear_checkpoint"), {"experiment_id": lease.experiment_id, **checkpoint._asdict()}
            )

    async def pages(self, experiment_id: str, after: int, until: int) -> AsyncIterator[list[LearntOutcome]]:
        """Yield what was learnt in the turns behind `after`, up to `until`, in their order."""
        parameters = {"experiment_id": experiment_id, "after": after, "until": until}
        async for page in pages(self._pool, "linear_outcomes", parameters, timeout=_READ_TIMEOUT):
            yield [LearntOutcome(*row) for row in page]
