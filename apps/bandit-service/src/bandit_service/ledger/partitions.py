"""The daily partitions of bandit_events: made before their day begins, also when the default has rows of it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from psycopg import AsyncConnection, sql

from bandit_service.ledger.maintenance import DEFAULT, bounded_locks, take_turn
from bandit_service.ledger.pool import Pool, connected, statement

_NAME = re.compile(r"bandit_events_([0-9]{4})_([0-9]{2})_([0-9]{2})")
_RANGE = "range"

Outcome = Literal["created", "there already", "the default partition is too large", "another process is at it"]


@dataclass(frozen=True, slots=True, order=True)
class Day:
    """A calendar day in UTC."""

    on: date

    @classmethod
    def of(cls, moment: datetime) -> Day:
        return cls(moment.astimezone(UTC).date())

    @property
    def following(self) -> Day:
        return Day(self.on + timedelta(days=1))

    @property
    def start(self) -> datetime:
        return datetime.combine(self.on, datetime.min.time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.following.start

    @property
    def partition(self) -> str:
        return f"bandit_events_{self.on:%Y_%m_%d}"


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a day's partition; `blocked` is how long (s) writers were locked out for it."""

    day: Day
    outcome: Outcome
    moved: int = 0
    blocked: float = 0.0


class Partitions:
    """The partitions. Methods raise PostgresUnavailableError while Postgres is away, or a lock is not to be had."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def days(self) -> list[Day]:
        """Return the days that have a partition, oldest first."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("partitions"))
            names = [_NAME.fullmatch(name) for (name,) in await cursor.fetchall()]
            return sorted(Day(date(*map(int, name.groups()))) for name in names if name)

    async def make(self, days: Sequence[Day], *, largest_default: int, seconds: float) -> list[Made]:
        """Make what is missing, each day in a transaction of its own.

        Rows of the day that wait in the default partition move along. Writers wait while Postgres reads through the
        default partition: one of more than `largest_default` bytes is not read, and nothing made. `seconds` is what a
        day may take; others wait for a lock that it needs for a moment only.
        """
        return [await self._make(day, largest_default, seconds) for day in days]

    async def _make(self, day: Day, largest_default: int, seconds: float) -> Made:
        async with connected(self._pool, timeout=seconds) as connection:
            await bounded_locks(connection)
            if not await take_turn(connection):
                return Made(day, "another process is at it")
            cursor = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", [day.partition])
            if await cursor.fetchone() == (True,):
                return Made(day, "there already")
            cursor = await connection.execute(statement("rows_in_default"), {"start": day.start, "end": day.end})
            waiting, default_bytes = await cursor.fetchone() or (False, 0)
            if default_bytes > largest_default:
                return Made(day, "the default partition is too large")
            await _create(connection, day)
            moved = await _move(connection, day) if waiting else 0
            return await _attach(connection, day, moved)


async def _create(connection: AsyncConnection[Any], day: Day) -> None:
    """Make the table. The check lets Postgres attach it without reading it again while others wait."""
    table = sql.Identifier(day.partition)
    await connection.execute(sql.SQL("CREATE TABLE {} (LIKE bandit_events INCLUDING ALL)").format(table))
    await connection.execute(
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK (decision_time >= {} AND decision_time < {})").format(
            table, sql.Identifier(_RANGE), sql.Literal(day.start), sql.Literal(day.end)
        )
    )


async def _attach(connection: AsyncConnection[Any], day: Day, moved: int) -> Made:
    """Attach the table, with what writers have put into the default partition meanwhile."""
    table = sql.Identifier(day.partition)
    # A writer that has chosen the default partition already would be refused by it afterwards: so writers wait at the
    # door, where they have not chosen yet. Readers go on.
    await connection.execute("LOCK TABLE bandit_events IN SHARE ROW EXCLUSIVE MODE")
    locked = time.monotonic()
    await connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(DEFAULT))
    moved += await _move(connection, day)
    await connection.execute(
        sql.SQL("ALTER TABLE bandit_events ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            table, sql.Literal(day.start), sql.Literal(day.end)
        )
    )
    await connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(_RANGE)))
    return Made(day, "created", moved, time.monotonic() - locked)


async def _move(connection: AsyncConnection[Any], day: Day) -> int:
    """Move the day's rows out of the default partition; others see the move only once all of it is done."""
    cursor = await connection.execute(
        sql.SQL(
            "WITH moved AS (DELETE FROM {} WHERE decision_time >= {} AND decision_time < {} RETURNING *)"
            " INSERT INTO {} SELECT * FROM moved"
        ).format(DEFAULT, sql.Literal(day.start), sql.Literal(day.end), sql.Identifier(day.partition))
    )
    return cursor.rowcount
