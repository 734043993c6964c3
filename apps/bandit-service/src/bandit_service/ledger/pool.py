"""Connections to Postgres: few, short-lived in use, and never waited for longer than a caller would."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, errors
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from bandit_service.ledger import arrays
from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError

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
_GRACE = 0.5
_PAGE = 5_000
# What a server answers that is no primary (any more). Sessions outlive a failover behind a proxy or a service address,
# so one that answers this is given up: the next one may reach the primary.
_NOT_PRIMARY = (errors.ReadOnlySqlTransaction, errors.ObjectNotInPrerequisiteState)
# Errors that say nothing about the statement, although they are none of the client library's operational ones.
_INTERRUPTIONS = (errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)


class LedgerConnection(AsyncConnection[Any]):
    """A connection to the ledger."""

    def raw_cursor(self) -> AsyncRawCursor[Any]:
        """Return a cursor that takes statements with numbered placeholders."""
        return AsyncRawCursor(self)

    def shut_down(self) -> None:
        """Shut the socket down: whoever waits for the server gets an error, and the connection is closed by that."""
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
    prepare: bool = False,
) -> Pool:
    """Return a closed pool; `await pool.open()` returns at once, whether or not Postgres is there.

    Nothing but prepared statements outlives a transaction: PgBouncer in transaction mode may stand between.

    Args:
        dsn: Of the database.
        min_size: Connections that are kept open.
        max_size: Connections at most.
        application_name: As Postgres shows the sessions.
        prepare: Prepare statements that are used again. A pooler in transaction mode has to support that.
    """
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
            "prepare_threshold": PREPARE_AFTER if prepare else None,
        },
        name=application_name,
        configure=_configure,
    )


async def _configure(connection: AsyncConnection[Any]) -> None:
    arrays.register(connection)


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
            _given_up(connection),
            _cut_after(connection, timeout + _GRACE),
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
    except BaseException:
        # In any other state the connection is broken or busy, and the pool closes it.
        if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


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
async def _given_up(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Close a connection to a server that is no primary, so that the pool replaces it."""
    try:
        yield
    except _NOT_PRIMARY:
        await connection.close()
        raise


@asynccontextmanager
async def _cut_after(connection: LedgerConnection, seconds: float) -> AsyncIterator[None]:
    """Shut the connection down after that long, for a server that no longer answers even to a cancel."""
    handle = asyncio.get_running_loop().call_later(seconds, connection.shut_down)
    try:
        yield
    finally:
        handle.cancel()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        raise MissingSchemaError("the database lacks migrations: run `bandit-service migrate`") from error
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise PostgresUnavailableError("no connection to Postgres is free") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, *_INTERRUPTIONS) as error:
        raise PostgresUnavailableError(f"Postgres: {type(error).__name__}") from error
