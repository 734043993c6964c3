"""Connections to Postgres: few, short-lived in use, and never waited for longer than a caller would."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, errors
from psycopg.errors import Diagnostic
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from bandit_service.ledger import arrays
from bandit_service.ledger.errors import MissingSchemaError, PostgresFullError, PostgresUnavailableError

__all__ = [
    "MissingSchemaError",
    "Pool",
    "PostgresUnavailableError",
    "connected",
    "make_pool",
    "pages",
    "ping",
    "statement",
]

CONNECT_TIMEOUT = 2
PREPARE_AFTER = 2
STATEMENT_TIMEOUT = 5.0
RECONNECT_TIMEOUT = 5.0
# How long after its time a transaction is cancelled, and cut off.
_CANCEL_AFTER = 0.2
_CUT_AFTER = 0.5
_PAGE = 5_000
# What a server answers that is no primary (any more). Sessions outlive a failover behind a proxy or a service address,
# so one that answers this is given up: the next one may reach the primary.
_NOT_PRIMARY = (errors.ReadOnlySqlTransaction, errors.ObjectNotInPrerequisiteState)
_LIMITS = (
    "SELECT set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)"
)
# Errors that say nothing about the statement, although they are none of the client library's operational ones.
_INTERRUPTIONS = (errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)
# What a pooler answers that does not know of prepared statements, where they were asked for all the same.
_UNPREPARED = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


class LedgerConnection(AsyncConnection[Any]):
    """A connection to the ledger."""

    def raw_cursor(self) -> AsyncRawCursor[Any]:
        """Return a cursor that takes statements with numbered placeholders."""
        return AsyncRawCursor(self)

    def shut_down(self) -> None:
        """Shut the socket down: a task that waits for the server gets an error, which closes the connection."""
        if self.closed:
            return
        with socket.socket(fileno=os.dup(self.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


type Pool = AsyncConnectionPool[LedgerConnection]


def make_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 8,
    application_name: str = "bandit-service",
    prepare: bool | None = False,
) -> Pool:
    """Return a closed pool; `await pool.open()` returns at once, whether or not Postgres is there.

    Nothing but prepared statements outlives a transaction: PgBouncer in transaction mode may stand between.

    Args:
        dsn: Of the database.
        min_size: Connections that are kept open.
        max_size: Connections at most.
        application_name: As Postgres shows the sessions.
        prepare: Prepare statements that are used again; None: unless a pooler stands between, of which not every one
            supports that.
    """

    async def configure(connection: AsyncConnection[Any]) -> None:
        arrays.register(connection)
        if prepare is None and await _is_pooled(connection):
            connection.prepare_threshold = None

    return AsyncConnectionPool(
        dsn,
        connection_class=LedgerConnection,
        min_size=min_size,
        max_size=max_size,
        open=False,
        timeout=CONNECT_TIMEOUT,
        max_waiting=16 * max_size,
        # Attempts back off up to this; then the next request starts anew, so that a long outage ends within seconds.
        reconnect_timeout=RECONNECT_TIMEOUT,
        kwargs={
            "application_name": application_name,
            "connect_timeout": CONNECT_TIMEOUT,
            # Without this a transaction costs a round trip more.
            "autocommit": True,
            "prepare_threshold": None if prepare is False else PREPARE_AFTER,
        },
        name=application_name,
        configure=configure,
    )


async def _is_pooled(connection: AsyncConnection[Any]) -> bool:
    """Return whether another process answers than the one that greeted: a pooler greets with a number of its own."""
    cursor = await connection.execute("SELECT pg_backend_pid()")
    return await cursor.fetchone() != (connection.info.backend_pid,)


@cache
def statement(name: str) -> LiteralString:
    """Return the statement stored as `<name>.sql` in the folder `sql`."""
    # psycopg remembers how it reads a statement only if that is short: comments and indentation are left out.
    text = files("bandit_service.ledger.sql").joinpath(f"{name}.sql").read_text()
    lines = (line.strip() for line in text.splitlines())
    # The text is a file of this package, never anything a client sent.
    return "\n".join(line for line in lines if not line.startswith("--"))


class NumberedStatement(NamedTuple):
    """A statement with numbered placeholders, and the names of its parameters in their order."""

    text: LiteralString
    names: tuple[str, ...]


@cache
def numbered_statement(name: str) -> NumberedStatement:
    """Return a stored statement for a raw cursor, which reads no placeholders.

    psycopg forgets how it has read a statement of more than 4,096 characters, and reading a long one takes longer than
    sending it.
    """
    text, names = statement(name), []
    for parameter in re.findall(r"%\((\w+)\)s", text):
        if parameter not in names:
            names.append(parameter)
    for number, parameter in enumerate(names, 1):
        text = text.replace(f"%({parameter})s", f"${number}")
    return NumberedStatement(text, tuple(names))


@asynccontextmanager
async def connected(
    pool: Pool,
    *,
    timeout: float = STATEMENT_TIMEOUT,  # noqa: ASYNC109 (the server enforces it too, so a caller cannot do it alone)
) -> AsyncIterator[LedgerConnection]:
    """Lend a connection with a transaction open, committed at the end and rolled back by an exception.

    Args:
        pool: An open pool.
        timeout: Seconds that a statement may take, and that all of them may take together.

    Raises:
        PostgresUnavailableError: Postgres is away, overloaded, or slower than that.
        MissingSchemaError: the migrations have not been applied.
    """
    with _translated():
        async with (
            pool.connection() as connection,
            _stopped_after(connection, timeout),
            _transaction(connection, round(timeout * 1_000)),
        ):
            yield connection


@cache
def _begin(timeout_ms: int) -> bytes:
    settings = b"SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d"
    return b"BEGIN; " + settings % (timeout_ms, timeout_ms)


@asynccontextmanager
async def _transaction(connection: AsyncConnection[Any], timeout_ms: int) -> AsyncIterator[None]:
    """Begin a transaction whose statements may take so long, in one round trip; commit it, or roll it back.

    A process that is frozen in the middle does not hold its locks for longer either. The settings are local to the
    transaction: those of the session would not survive PgBouncer's transaction mode.
    """
    await connection.execute(_begin(timeout_ms))
    try:
        yield
    except _NOT_PRIMARY:
        # The pool replaces it. PgBouncer in transaction mode does so with its session as well, but only because this
        # one ends within a transaction: otherwise the next one would get the same session.
        await connection.close()
        raise
    except BaseException:
        # In any other state the connection is broken or busy, and the pool closes it.
        if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            await connection.execute("ROLLBACK")
        raise
    await _commit(connection)


async def _commit(connection: AsyncConnection[Any]) -> None:
    async with _confirmed(connection):
        await connection.execute("COMMIT")


@asynccontextmanager
async def _confirmed(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Raise PostgresUnavailableError at the end if the wait for a synchronous standby was cancelled.

    Postgres has committed by itself then, and says so in nothing but a warning. A commit warns of nothing else.
    """
    severities: list[str | None] = []

    def note(notice: Diagnostic) -> None:
        # A notice can be read only while it is being handled.
        severities.append(notice.severity_nonlocalized)

    connection.add_notice_handler(note)
    try:
        yield
    finally:
        connection.remove_notice_handler(note)
    if "WARNING" in severities:
        raise PostgresUnavailableError("a synchronous standby has not confirmed the commit")


async def in_one_trip(
    pool: Pool,
    numbered: NumberedStatement,
    parameters: Mapping[str, object],
    *,
    timeout: float = STATEMENT_TIMEOUT,  # noqa: ASYNC109 (as above)
) -> list[tuple[Any, ...]]:
    """Return the rows of a statement that is a transaction of its own, in one round trip with its time limit.

    Postgres takes what comes before one message of synchronisation as one transaction: a caller that sends that much at
    once needs no BEGIN and no COMMIT.

    Raises:
        PostgresUnavailableError, MissingSchemaError: as `connected` does.
    """
    with _translated():
        async with pool.connection() as connection, _stopped_after(connection, timeout):
            cursor = connection.raw_cursor()
            try:
                async with _confirmed(connection), connection.pipeline():
                    await connection.raw_cursor().execute(_LIMITS, [f"{round(timeout * 1_000)}"])
                    await cursor.execute(numbered.text, [parameters[name] for name in numbered.names])
            except _NOT_PRIMARY:
                await _give_up(connection)
                raise
            except asyncio.CancelledError:
                # A session that is cancelled in a pipeline stays in it, and would refuse the next caller.
                await connection.close()
                raise
            return await cursor.fetchall()


async def _give_up(connection: AsyncConnection[Any]) -> None:
    """Close a session that has ended its transaction, within another one: see `_transaction`."""
    with suppress(psycopg.Error):
        await connection.execute("BEGIN")
    await connection.close()


async def pages(
    pool: Pool,
    name: str,
    parameters: Mapping[str, object],
    *,
    timeout: float,  # noqa: ASYNC109 (as above)
) -> AsyncIterator[list[Any]]:
    """Yield the rows of a stored statement with a cursor of the server's: more than memory has room for.

    Raises:
        PostgresUnavailableError: Postgres is away, or takes longer than `timeout` seconds.
    """
    async with connected(pool, timeout=timeout) as connection, connection.cursor(name=name) as cursor:
        await cursor.execute(statement(name), parameters)
        while page := await cursor.fetchmany(_PAGE):
            yield page


async def ping(pool: Pool) -> None:
    """Return if Postgres answers.

    Raises:
        PostgresUnavailableError: it does not.
    """
    async with connected(pool, timeout=CONNECT_TIMEOUT) as connection:
        await connection.execute("SELECT 1")


@asynccontextmanager
async def _stopped_after(connection: LedgerConnection, seconds: float) -> AsyncIterator[None]:
    """Cancel what the server still does after that long, and shut the socket down if it does not even hear that.

    The server stops a statement by itself, but not a commit that waits for a synchronous standby. Left to itself its
    session would wait on, and each new attempt would take another one.
    """
    loop = asyncio.get_running_loop()
    cancelling: list[asyncio.Task[None]] = []

    def cancel() -> None:
        cancelling.append(loop.create_task(_cancel(connection)))

    handles = [
        loop.call_later(seconds + _CANCEL_AFTER, cancel),
        loop.call_later(seconds + _CUT_AFTER, connection.shut_down),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.cancel()
        for task in cancelling:
            task.cancel()
            # The request may reach the server late, and must not meet the next one who uses the session.
            await connection.close()


async def _cancel(connection: AsyncConnection[Any]) -> None:
    with suppress(psycopg.Error):
        await connection.cancel_safe(timeout=_CUT_AFTER)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        raise MissingSchemaError("the database lacks migrations: run `bandit-service migrate`") from error
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise PostgresUnavailableError("no connection to Postgres is free") from error
    except _UNPREPARED as error:
        raise PostgresUnavailableError("a pooler mixes prepared statements up: BANDIT_POSTGRES_PREPARE") from error
    except errors.DiskFull as error:
        raise PostgresFullError("the disk of Postgres is full") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, *_INTERRUPTIONS) as error:
        raise PostgresUnavailableError(f"Postgres: {type(error).__name__}") from error
