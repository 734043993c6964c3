"""What a database says of itself, for those who look an installation over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row

from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.ledger.pool import statement

_SECONDS = 5


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What the server says of itself."""

    version: int
    read_only: bool
    durable: bool
    clock_ahead: float
    connections: int
    connection_limit: int


@dataclass(frozen=True, slots=True)
class TableFacts:
    """How the tables are. `positions`: epoch and committed sequence number of every experiment."""

    revision: str | None
    partitions: tuple[str, ...]
    default_is_empty: bool
    positions: dict[str, tuple[int, int]]


async def inspect_database(dsn: str) -> tuple[DatabaseFacts, TableFacts]:
    """Ask a database about itself.

    Raises:
        PostgresUnavailableError: it does not answer, with the reason in words.
        MissingSchemaError: it does, but has no schema yet.
    """
    try:
        async with await AsyncConnection.connect(
            dsn, connect_timeout=_SECONDS, prepare_threshold=None, application_name="bandit-service doctor"
        ) as connection:
            return await _server(connection), await _tables(connection)
    except psycopg.errors.UndefinedTable:
        raise MissingSchemaError("there is no schema yet") from None
    except psycopg.Error as error:
        raise PostgresUnavailableError(str(error).partition("\n")[0]) from error


async def _server(connection: AsyncConnection[TupleRow]) -> DatabaseFacts:
    async with connection.cursor(row_factory=dict_row) as cursor:
        asked = time.time()
        row = await (await cursor.execute(statement("inspect"))).fetchone() or {}
        ahead = row.pop("now") - (asked + time.time()) / 2
        return DatabaseFacts(**row, clock_ahead=ahead)


async def _tables(connection: AsyncConnection[TupleRow]) -> TableFacts:
    async def rows(query: LiteralString) -> list[TupleRow]:
        return await (await connection.execute(query)).fetchall()

    revision = await rows("SELECT version_num FROM alembic_version")
    return TableFacts(
        revision=revision[0][0] if revision else None,
        partitions=tuple(name for (name,) in await rows(statement("partitions"))),
        default_is_empty=await rows("SELECT EXISTS (SELECT FROM bandit_events_default)") == [(False,)],
        positions={
            name: (epoch, seq)
            for name, epoch, seq in await rows("SELECT experiment_id, epoch, committed_seq FROM event_positions")
        },
    )
