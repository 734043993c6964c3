"""Old rows leave Postgres: exported first, and never while a sum still depends on them.

A day of events goes in two steps. First `kept_from` is raised, so that no batch that begins later writes an event of
the day. Once all earlier statements have ended, one transaction adds the day's sums to `dropped_totals` and drops it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from psycopg import AsyncConnection, sql
from psycopg.abc import Buffer

from bandit_core.rules.experiment import CONTEXTUAL_POLICIES
from bandit_service.ledger.maintenance import (
    DEFAULT,
    DEFAULT_PARTITION,
    StillRunningError,
    bounded_locks,
    outlive,
    take_turn,
)
from bandit_service.ledger.partitions import Day
from bandit_service.ledger.pool import Pool, connected, statement

_EXPORT_SECONDS: Final = 6 * 3_600.0
# Beyond the reward window: the time in which a reward is still recognised as repeated.
_GRACE_SECONDS: Final = 3_600.0
_PATIENCE_SECONDS: Final = 60.0
_NEEDS: Final = {
    "retention_young_windows": "a reward window that is hardly over",
    "retention_open_buckets": "decisions whose window has not been closed",
    "retention_unsettled": "outcomes that are not settled",
    "retention_linear": "outcomes that are in no checkpoint of the linear model",
    "retention_undrained": "processes that may hold events of that time",
}
_BUSY: Final = {"another maintenance that is under way; run it again": list[str]()}
_GREW: Final = {"events that came while it was exported; run it again": list[str]()}
_RUNNING: Final = {"transactions that began before and have not ended; run it again": list[str]()}

Table = Literal["allocations", "posterior_snapshots", "refused_events"]
_TABLES: Final[dict[Table, str]] = {
    "allocations": "retire_allocations",
    "posterior_snapshots": "retire_snapshots",
    "refused_events": "retire_refused_events",
}


class Sink(Protocol):
    """Where an export is written to."""

    def write(self, block: Buffer, /) -> object:
        """Take a piece."""


class Archive(Protocol):
    """Keeps what leaves the database."""

    def file(self, name: str) -> AbstractContextManager[Sink]:
        """Open a new file; it is there for good once the context has ended, and not at all after an exception."""


class _NothingToExport(Exception):  # noqa: N818 - no error: it tells the archive that no file is wanted
    """There was not a single row."""


@dataclass(frozen=True, slots=True)
class Retired:
    """What became of some old rows. They stayed if `needed` names experiments, by the reason they are needed for."""

    name: str
    rows: int = 0
    needed: Mapping[str, list[str]] = field(default_factory=dict)


class RetentionStore:
    """Takes old rows out. Methods raise PostgresUnavailableError while Postgres is away, or a lock is not to be had.

    Args:
        pool: An open pool.
        patience: Seconds to wait for transactions that began before a day was closed.
    """

    def __init__(self, pool: Pool, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._pool = pool
        self._patience = patience

    async def day(self, day: Day, archive: Archive | None, now: datetime) -> Retired:
        """Export and drop a day of events, unless it is needed. The days before it have to be gone."""
        needed = await self._refuse_events_before(day.end, now)
        if needed:
            return Retired(day.partition, needed=needed)
        table = sql.Identifier(day.partition)
        query = _filled("export_events", events=table, before=sql.Literal(day.end), salt=_new_salt())
        exported = await self._export(archive, day.partition, query)
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            await bounded_locks(connection)
            if not await take_turn(connection):
                return Retired(day.partition, needed=_BUSY)
            await connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(table))
            rows = await _count(connection, table, day.end)
            needed = await _still_needed(connection, day.end, now) or ({} if exported in (rows, None) else _GREW)
            if needed:
                return Retired(day.partition, needed=needed)
            await _keep_sums(connection, table, day.end)
            await connection.execute(sql.SQL("ALTER TABLE bandit_events DETACH PARTITION {}").format(table))
            await connection.execute(sql.SQL("DROP TABLE {}").format(table))
        return Retired(day.partition, rows)

    async def default(self, before: datetime, archive: Archive | None, now: datetime) -> Retired:
        """Export and delete what the default partition holds of decisions before a moment, unless it is needed.

        The partitions of that time have to be gone.
        """
        name = DEFAULT_PARTITION
        async with connected(self._pool) as connection:
            if await _count(connection, DEFAULT, before) == 0:
                return Retired(name)
        needed = await self._refuse_events_before(before, now)
        if needed:
            return Retired(name, needed=needed)
        query = _filled("export_events", events=DEFAULT, before=sql.Literal(before), salt=_new_salt())
        exported = await self._export(archive, _stamped(name, now), query)
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            if not await take_turn(connection):
                return Retired(name, needed=_BUSY)
            rows = await _count(connection, DEFAULT, before)
            needed = await _still_needed(connection, before, now) or ({} if exported in (rows, None) else _GREW)
            if needed:
                return Retired(name, needed=needed)
            await _keep_sums(connection, DEFAULT, before)
            await connection.execute("DELETE FROM bandit_events_default WHERE decision_time < %s", [before])
        return Retired(name, rows)

    async def table(self, table: Table, before: datetime, archive: Archive | None, now: datetime) -> Retired:
        """Export and delete rows from before a moment that no sum depends on."""
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            query = _filled(_TABLES[table], before=sql.Literal(before))
            if archive is None:
                return Retired(table, (await connection.execute(query)).rowcount)
            copied = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER)").format(query)
            return Retired(table, await _write(connection, archive, _stamped(table, now), copied))

    async def own_ids(self) -> None:
        """Delete callers' own ids of events that are gone. It reads all of them."""
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            await connection.execute(statement("retire_own_ids"))

    async def tombstones(self, now: datetime) -> None:
        """Delete the tombstones of units that nothing can bring back."""
        async with connected(self._pool) as connection:
            await connection.execute(statement("retire_tombstones"), {"now": now, "grace": _GRACE_SECONDS})

    async def is_over(self, day: Day, now: datetime) -> bool:
        """Say whether nothing depends on a day's events any more, and so nothing is added to them either."""
        async with connected(self._pool) as connection:
            return not await _still_needed(connection, day.end, now)

    async def _refuse_events_before(self, before: datetime, now: datetime) -> Mapping[str, list[str]]:
        """Have events of decisions before a moment refused from now on, unless something still depends on them."""
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            needed = await _still_needed(connection, before, now)
            if needed:
                return needed
            cursor = await connection.execute(statement("raise_kept_from"), {"before": before})
            [transaction_id] = await cursor.fetchone() or [0]
        try:
            await outlive(self._pool, int(transaction_id), patience=self._patience)
        except StillRunningError:
            return _RUNNING
        return {}

    async def _export(self, archive: Archive | None, name: str, query: sql.Composed) -> int | None:
        if archive is None:
            return None
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            return await _write(connection, archive, name, query)


async def _still_needed(connection: AsyncConnection[Any], before: datetime, now: datetime) -> dict[str, list[str]]:
    """Return for each reason the experiments, or processes, that need events of decisions before a moment."""
    needed = {}
    parameters = {"before": before, "now": now, "grace": _GRACE_SECONDS, "contextual": sorted(CONTEXTUAL_POLICIES)}
    for name, reason in _NEEDS.items():
        names = [found for (found,) in await (await connection.execute(statement(name), parameters)).fetchall()]
        if names:
            needed[reason] = names
    return needed


async def _count(connection: AsyncConnection[Any], table: sql.Identifier, before: datetime) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE decision_time < {}").format(table, sql.Literal(before))
    [rows] = await (await connection.execute(query)).fetchone() or [0]
    return int(rows)


async def _keep_sums(connection: AsyncConnection[Any], table: sql.Identifier, before: datetime) -> None:
    """Add the sums of events that go to dropped_totals, and forget what archived experiments left to be done."""
    await connection.execute(_filled("drop_totals", events=table, before=sql.Literal(before)))
    await connection.execute("DELETE FROM folded_days WHERE day < %s", [before.date()])
    await connection.execute(statement("retire_archived_buckets"), {"before": before})
    await connection.execute(statement("retire_archived_unsettled"), {"before": before})


async def _write(connection: AsyncConnection[Any], archive: Archive, name: str, query: sql.Composed) -> int:
    """Write the rows of a COPY to a new file, none if there are none; return how many they are.

    The file is complete before the transaction ends: after a crash between them rows are in both, never in neither.
    """
    rows = 0
    with suppress(_NothingToExport), archive.file(name) as file:
        async with connection.cursor() as cursor:
            async with cursor.copy(query) as copy:
                async for block in copy:
                    file.write(block)
            rows = cursor.rowcount
        if rows == 0:
            raise _NothingToExport
    return rows


def _filled(name: str, **values: sql.Composable) -> sql.Composed:
    return sql.SQL(statement(name)).format(**values)


def _new_salt() -> sql.Literal:
    return sql.Literal(secrets.token_bytes(16))


def _stamped(name: str, now: datetime) -> str:
    return f"{name}_until_{now:%Y%m%dT%H%M%SZ}"
