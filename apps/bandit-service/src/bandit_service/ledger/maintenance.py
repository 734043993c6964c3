"""What every statement of maintenance keeps to: one at a time, and nobody waits long for its locks."""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection, sql

DEFAULT: Final = sql.Identifier("bandit_events_default")

# While a lock is waited for, everybody who comes after waits too.
LOCK_TIMEOUT: Final = "2s"
_TURN: Final = 0x62616E646975


async def bounded_locks(connection: AsyncConnection[Any]) -> None:
    """Have the transaction give up rather than queue for a lock."""
    await connection.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


async def take_turn(connection: AsyncConnection[Any]) -> bool:
    """Say whether this transaction is the only one of maintenance until its end."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_TURN])
    return await cursor.fetchone() == (True,)
