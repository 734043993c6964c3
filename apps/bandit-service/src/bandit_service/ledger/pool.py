"""Connections to Postgres: few, short-lived in use, and never waited for longer than a caller would."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, errors
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

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
STATEMENT_TIMEOUT = 5.0
RECONNECT_TIMEOUT = 5.0
_GRACE = 0.5
_PAGE = 5_000
# Errors that say nothing about the statement, although they are none of the client library's operational ones.
_INTERRUPTIONS = (errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)

type Pool = AsyncConnectionPool[AsyncConnection[Any]]


def make_pool(dsn: str, *, min_size: int = 1, max_size: int = 8, application_name: str = "bandit-service") -> Pool:
    """Return a closed pool; `await pool.open()` returns at once, whether or not Postgres is there.

    Nothing outlives a transaction and statements are never prepared: PgBouncer in transaction mode may stand between.
    """
    return AsyncConnectionPool(
        dsn,
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
            "prepare_threshold": None,
        },
        name=application_name,
    )


@cache
def statement(name: str) -> LiteralString:
    """Return the statement stored as `<name>.sql` in the folder `sql`."""
    # The text is a file of this package, never anything a client sent.
    return files("bandit_service.ledger.sql").joinpath(f"{name}.sql").read_text()


@asynccontextmanager
async def connected(
    pool: Pool,
    *,
    timeout: float = STATEMENT_TIMEOUT,  # noqa: ASYNC109 (the server enforces it too, so a caller cannot do it alone)
) -> AsyncIterator[AsyncConnection[Any]]:
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
            _cut_after(connection, timeout + _GRACE),
            connection.transaction(),
        ):
            # Local to the transaction: a setting of the session would not survive PgBouncer's transaction mode.
            await connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(round(timeout * 1_000))])
            yield connection


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
async def _cut_after(connection: AsyncConnection[Any], seconds: float) -> AsyncIterator[None]:
    """Shut the connection's socket down after that long, for a server that no longer answers even to a cancel."""
    handle = asyncio.get_running_loop().call_later(seconds, _shut_down, connection)
    try:
        yield
    finally:
        handle.cancel()


def _shut_down(connection: AsyncConnection[Any]) -> None:
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


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
