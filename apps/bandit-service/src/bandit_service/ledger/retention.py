"""Old rows leave Postgres: exported first, and never while the beliefs could not be rebuilt without them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from psycopg import AsyncConnection, sql
from psycopg.abc import Buffer

from bandit_service.ledger.maintenance import DEFAULT, bounded_locks, take_turn
from bandit_service.ledger.partitions import Month
from bandit_service.ledger.pool import Pool, connected, statement

_EXPORT_SECONDS = 6 * 3_600.0
_DROP_SECONDS = 10.0
_NEEDS = {
    "retention_unsnapshotted": "events that no snapshot holds yet",
    "retention_young_windows": "a reward window that is hardly over",
    "retention_open_windows": "decisions whose window has not been closed",
}

Table = Literal["allocations", "posterior_snapshots"]


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


@dataclass(frozen=True, slots=True)
class _Positions:
    """How far every experiment's events had come at a moment."""

    ids: list[str]
    epochs: list[int]
    seqs: list[int]

    def literals(self) -> dict[str, sql.Literal]:
        return {name: sql.Literal(getattr(self, name)) for name in ("ids", "epochs", "seqs")}


class RetentionStore:
    """Takes old rows out. Methods raise PostgresUnavailableError while Postgres is away, or a lock is not to be had."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def month(self, month: Month, archive: Archive, now: datetime) -> Retired:
        """Export and drop a month of events, unless it is needed, or grew meanwhile."""
        table = sql.Identifier(month.partition)
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            positions = await _positions(connection)
            needed = await _needed(connection, table, month.end, now)
            if needed:
                return Retired(month.partition, needed=needed)
            await connection.execute(_filled("retention_keep_units", events=table, before=sql.Literal(month.end)))
            query = _filled("export_partition", events=table, salt=_new_salt())
            rows = await _export(connection, archive, month.partition, query)
        if await self._drop(table, positions):
            return Retired(month.partition, rows)
        return Retired(month.partition, needed={"events that came while it was exported; run it again": []})

    async def default(self, before: datetime, archive: Archive, now: datetime) -> Retired:
        """Export and delete what the default partition holds of decisions before a moment, unless it is needed."""
        name = "bandit_events_default"
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            positions = await _positions(connection)
            needed = await _needed(connection, DEFAULT, before, now)
            if needed:
                return Retired(name, needed=needed)
            moment = sql.Literal(before)
            await connection.execute(_filled("retention_keep_units", events=DEFAULT, before=moment))
            query = _filled("retire_default", before=moment, salt=_new_salt(), **positions.literals())
            return Retired(name, await _export(connection, archive, _stamped(name, now), query))

    async def table(self, table: Table, before: datetime, archive: Archive, now: datetime) -> Retired:
        """Export and delete rows from before a moment that nothing is rebuilt from."""
        name = {"allocations": "retire_allocations", "posterior_snapshots": "retire_snapshots"}[table]
        async with connected(self._pool, timeout=_EXPORT_SECONDS) as connection:
            query = _filled(name, before=sql.Literal(before))
            return Retired(table, await _export(connection, archive, _stamped(table, now), query))

    async def _drop(self, table: sql.Identifier, positions: _Positions) -> bool:
        """Drop a partition unless it has grown. For that moment the table of events is locked."""
        async with connected(self._pool, timeout=_DROP_SECONDS) as connection:
            await bounded_locks(connection)
            if not await take_turn(connection):
                return False
            await connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(table))
            cursor = await connection.execute(_filled("retention_grown", events=table, **positions.literals()))
            if await cursor.fetchone() != (False,):
                return False
            await connection.execute(sql.SQL("ALTER TABLE bandit_events DETACH PARTITION {}").format(table))
            await connection.execute(sql.SQL("DROP TABLE {}").format(table))
            return True


async def _positions(connection: AsyncConnection[Any]) -> _Positions:
    cursor = await connection.execute(
        "SELECT coalesce(array_agg(experiment_id), '{}'), coalesce(array_agg(epoch), '{}'),"
        " coalesce(array_agg(committed_seq), '{}') FROM event_positions"
    )
    return _Positions(*(await cursor.fetchone() or ([], [], [])))


async def _needed(
    connection: AsyncConnection[Any], table: sql.Identifier, before: datetime, now: datetime
) -> dict[str, list[str]]:
    """Return for each reason the experiments that need events of decisions before a moment."""
    needed = {}
    for name, reason in _NEEDS.items():
        query = _filled(name, events=table, before=sql.Literal(before), now=sql.Literal(now))
        ids = [experiment_id for (experiment_id,) in await (await connection.execute(query)).fetchall()]
        if ids:
            needed[reason] = ids
    return needed


async def _export(connection: AsyncConnection[Any], archive: Archive, name: str, query: sql.Composed) -> int:
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
