"""What every statement of maintenance keeps to: one at a time, and its locks are held for a moment only."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from psycopg import AsyncConnection, sql

from bandit_service.ledger.pool import Pool, connected, statement
from bandit_service.ledger.writer import WRITE_TIMEOUT

DEFAULT_PARTITION: Final = "bandit_events_default"
DEFAULT: Final = sql.Identifier(DEFAULT_PARTITION)

# While a lock is waited for, all that come after wait too.
LOCK_TIMEOUT: Final = "2s"
_TURN: Final = 0x62616E646975
_CHECK_EVERY: Final = 0.1


class StillRunningError(Exception):
    """A transaction that began earlier has not ended in time."""


async def bounded_locks(connection: AsyncConnection[Any]) -> None:
    """Have the transaction give up rather than queue for a lock."""
    await connection.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


async def take_turn(connection: AsyncConnection[Any]) -> bool:
    """Say whether this transaction is the only one of maintenance until its end."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_TURN])
    return await cursor.fetchone() == (True,)


async def wait_for_turn(connection: AsyncConnection[Any]) -> None:
    """Return once this transaction is the only one of maintenance, which it stays until its end."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_TURN])


async def outlive(pool: Pool, transaction_id: int, *, patience: float) -> None:
    """Return once no transaction runs that may not have seen what a committed one has changed.

    First those that have a snapshot from before are waited for: as long as a batch may take, since a longer one only
    reads. One of them may have written meanwhile. A commit gives its snapshot up before others see what it has done. So
    transactions that have written until then are waited for next, as long as it takes.

    Raises:
        StillRunningError: it takes more than `patience` seconds.
    """
    now = asyncio.get_running_loop().time
    started = now()
    has_snapshots, last_id = True, transaction_id
    while True:
        async with connected(pool) as connection:
            cursor = await connection.execute(statement("older_transactions"), {"id": last_id})
            has_written, has_begun = await cursor.fetchone() or (False, False)
            waited = now() - started
            if has_snapshots and (not has_begun or waited > WRITE_TIMEOUT + 1):
                has_snapshots, last_id = False, await _new_id(connection)
                continue
        if not has_snapshots and not has_written:
            return
        if waited > patience:
            raise StillRunningError("a transaction that began before has not ended; pg_stat_activity shows it")
        await asyncio.sleep(_CHECK_EVERY)


async def _new_id(connection: AsyncConnection[Any]) -> int:
    """Return the id of this transaction, which is higher than that of every other one that has written."""
    [last_id] = await (await connection.execute("SELECT pg_current_xact_id()::text")).fetchone() or [0]
    return int(last_id)
