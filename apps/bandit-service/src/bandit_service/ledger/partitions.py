"""The monthly partitions of bandit_events: made before their month begins, also when the default has rows of it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from psycopg import AsyncConnection, sql

from bandit_service.ledger.maintenance import DEFAULT, bounded_locks, take_turn
from bandit_service.ledger.pool import Pool, connected, statement

_NAME = re.compile(r"bandit_events_([0-9]{4})_([0-9]{2})")
_RANGE = "range"

Outcome = Literal["created", "there already", "the default partition is too large", "another process is at it"]


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        utc = moment.astimezone(UTC)
        return cls(utc.year, utc.month)

    @property
    def following(self) -> Month:
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.following.start

    @property
    def partition(self) -> str:
        return f"bandit_events_{self.year:04}_{self.month:02}"


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a month's partition; `blocked` is how long (s) writers were locked out for it."""

    month: Month
    outcome: Outcome
    moved: int = 0
    blocked: float = 0.0


class Partitions:
    """The partitions. Methods raise PostgresUnavailableError while Postgres is away, or a lock is not to be had."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def months(self) -> list[Month]:
        """Return the months that have a partition, oldest first."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("partitions"))
            names = [_NAME.fullmatch(name) for (name,) in await cursor.fetchall()]
            return sorted(Month(int(name[1]), int(name[2])) for name in names if name)

    async def make(self, months: Sequence[Month], *, largest_default: int, seconds: float) -> list[Made]:
        """Make what is missing, each month in a transaction of its own.

        Rows of the month that wait in the default partition move along. Writers wait while Postgres reads through the
        default partition: one of more than `largest_default` bytes is not read, and nothing made. `seconds` is what a
        month may take; nobody waits for a lock that it needs longer than a moment.
        """
        return [await self._make(month, largest_default, seconds) for month in months]

    async def _make(self, month: Month, largest_default: int, seconds: float) -> Made:
        async with connected(self._pool, timeout=seconds) as connection:
            await bounded_locks(connection)
            if not await take_turn(connection):
                return Made(month, "another process is at it")
            cursor = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", [month.partition])
            if await cursor.fetchone() == (True,):
                return Made(month, "there already")
            cursor = await connection.execute(statement("rows_in_default"), {"start": month.start, "end": month.end})
            waiting, default_bytes = await cursor.fetchone() or (False, 0)
            if default_bytes > largest_default:
                return Made(month, "the default partition is too large")
            await _create(connection, month)
            moved = await _move(connection, month) if waiting else 0
            return await _attach(connection, month, moved)


async def _create(connection: AsyncConnection[Any], month: Month) -> None:
    """Make the table. The check lets Postgres attach it without reading it again while others wait."""
    table = sql.Identifier(month.partition)
    await connection.execute(sql.SQL("CREATE TABLE {} (LIKE bandit_events INCLUDING ALL)").format(table))
    await connection.execute(
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK (decision_time >= {} AND decision_time < {})").format(
            table, sql.Identifier(_RANGE), sql.Literal(month.start), sql.Literal(month.end)
        )
    )


async def _attach(connection: AsyncConnection[Any], month: Month, moved: int) -> Made:
    """Attach the table, with what writers have put into the default partition meanwhile."""
    table = sql.Identifier(month.partition)
    # A writer that has chosen the default partition already would be refused by it afterwards: so writers wait at the
    # door, where they have not chosen yet. Readers go on.
    await connection.execute("LOCK TABLE bandit_events IN SHARE ROW EXCLUSIVE MODE")
    locked = time.monotonic()
    await connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(DEFAULT))
    moved += await _move(connection, month)
    await connection.execute(
        sql.SQL("ALTER TABLE bandit_events ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            table, sql.Literal(month.start), sql.Literal(month.end)
        )
    )
    await connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(_RANGE)))
    return Made(month, "created", moved, time.monotonic() - locked)


async def _move(connection: AsyncConnection[Any], month: Month) -> int:
    """Move the month's rows out of the default partition; others see the move only once all of it is done."""
    cursor = await connection.execute(
        sql.SQL(
            "WITH moved AS (DELETE FROM {} WHERE decision_time >= {} AND decision_time < {} RETURNING *)"
            " INSERT INTO {} SELECT * FROM moved"
        ).format(DEFAULT, sql.Literal(month.start), sql.Literal(month.end), sql.Identifier(month.partition))
    )
    return cursor.rowcount
