"""What a database says of itself, for those who look an installation over."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow, dict_row

from bandit_service.ledger.encoding import check_encoding
from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.ledger.pool import statement

_SECONDS: Final = 5
_LOCAL: Final = ("", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What the server says of itself. `size`: of the database, in bytes; `disk_free`: None if it cannot be seen."""

    version: int
    read_only: bool
    durable: bool
    clock_ahead: float
    connections: int
    connection_limit: int
    size: int
    disk_free: int | None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """How the tables are. `sizes`: bytes of every partition of bandit_events, indexes included."""

    revision: str | None
    sizes: dict[str, int]
    default_is_empty: bool


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """What is done, and what waits to be done. Times are seconds.

    Attributes:
        refusal: Why an event cannot be inserted; None if it can.
        commits: Whether a commit is confirmed at once.
        undrained: Processes that seem to have ended, and for how long each has not written everything.
        unsettled_for: How long the oldest outcome to be settled has waited.
        overdue_for: How long ago the oldest bucket of decisions should have been closed; negative before that.
        refused: How many events were refused in the last day, by reason.
    """

    refusal: str | None
    commits: bool
    undrained: dict[str, float]
    unsettled_for: float | None
    overdue_for: float | None
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class Inspected:
    """Everything that was asked."""

    server: DatabaseFacts
    tables: TableFacts
    work: WorkFacts


class Posterior(NamedTuple):
    """An arm's alpha and beta in millionths; those of a gaussian arm are sums of rewards and of their squares."""

    alpha_micro: int
    beta_micro: int
    is_gaussian: bool


type Posteriors = dict[tuple[str, int], Posterior]


async def inspect_database(dsn: str) -> Inspected:
    """Ask a database about itself, and try what the service needs of it.

    Raises:
        PostgresUnavailableError: it does not answer, with the reason in words.
        MissingSchemaError: it does, but has no schema yet.
        WrongEncodingError: it does, but cannot hold every text.
    """
    async with _connection(dsn) as connection:
        server = await _server(connection)
        return Inspected(server, await _tables(connection), await _work(connection))


async def held_posteriors(dsn: str) -> Posteriors:
    """Return the posterior of every arm of the running experiments that a process looks after.

    Raises:
        PostgresUnavailableError: the database does not answer.
    """
    async with _connection(dsn) as connection:
        cursor = await connection.execute(statement("held_posteriors"))
        return {(name, arm): Posterior(*posterior) for name, arm, *posterior in await cursor.fetchall()}


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[AsyncConnection[TupleRow]]:
    """Lend a connection of one's own, whose errors are the ledger's."""
    try:
        async with await AsyncConnection.connect(
            dsn,
            connect_timeout=_SECONDS,
            prepare_threshold=None,
            autocommit=True,
            application_name="bandit-service doctor",
        ) as connection:
            check_encoding(connection)
            yield connection
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise MissingSchemaError("there is no schema yet, or an older one") from None
    except psycopg.Error as error:
        raise PostgresUnavailableError(_first_line(error)) from error


async def _server(connection: AsyncConnection[TupleRow]) -> DatabaseFacts:
    async with connection.cursor(row_factory=dict_row) as cursor:
        asked = time.time()
        row = await (await cursor.execute(statement("inspect"))).fetchone() or {}
        ahead = row.pop("now") - (asked + time.time()) / 2
        return DatabaseFacts(**row, clock_ahead=ahead, disk_free=await _disk_free(connection))


async def _disk_free(connection: AsyncConnection[TupleRow]) -> int | None:
    """Return the bytes that are free where the data is, if it is on this machine and this role may know where."""
    if connection.info.host not in _LOCAL and not connection.info.host.startswith("/"):
        return None
    try:
        [folder] = await (await connection.execute("SHOW data_directory")).fetchone() or [""]
        return shutil.disk_usage(folder).free if await asyncio.to_thread(Path(folder).is_dir) else None
    except (psycopg.errors.InsufficientPrivilege, OSError):
        return None


async def _tables(connection: AsyncConnection[TupleRow]) -> TableFacts:
    revision = await _rows(connection, "SELECT version_num FROM alembic_version")
    return TableFacts(
        revision=revision[0][0] if revision else None,
        sizes=dict(await _rows(connection, statement("partition_sizes"))),
        default_is_empty=await _rows(connection, "SELECT EXISTS (SELECT FROM bandit_events_default)") == [(False,)],
    )


async def _work(connection: AsyncConnection[TupleRow]) -> WorkFacts:
    [(unsettled_for, overdue_for)] = await _rows(connection, statement("waiting"))
    refusal = await _insert_refusal(connection)
    return WorkFacts(
        refusal=refusal,
        commits=refusal is not None or await _commits(connection),
        undrained=dict(await _rows(connection, statement("dead_producers"))),
        unsettled_for=unsettled_for,
        overdue_for=overdue_for,
        refused=dict(await _rows(connection, statement("refused_reasons"))),
    )


async def _insert_refusal(connection: AsyncConnection[TupleRow]) -> str | None:
    try:
        async with connection.transaction(force_rollback=True):
            await connection.execute("SELECT set_config('statement_timeout', '5s', true)")
            await connection.execute(statement("probe_insert"))
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise
    except psycopg.Error as error:
        return _first_line(error)
    return None


async def _commits(connection: AsyncConnection[TupleRow]) -> bool:
    """Commit a record of the write-ahead log that changes nothing, and say whether that is confirmed in time.

    It is not while a synchronous standby is missing.
    """
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    try:
        async with asyncio.timeout(_SECONDS):
            await connection.execute("SELECT pg_logical_emit_message(true, 'bandit-service', 'doctor')")
    except TimeoutError:
        return False
    return not any("synchronous replication" in notice for notice in notices)


async def _rows(connection: AsyncConnection[TupleRow], query: LiteralString) -> list[Any]:
    cursor: AsyncCursor[TupleRow] = await connection.execute(query)
    return await cursor.fetchall()


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
