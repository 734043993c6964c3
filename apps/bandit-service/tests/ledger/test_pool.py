"""Postgres is waited for no longer than a caller would, however it fails."""

import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

import bandit_service
from bandit_local.testing.cancellation import Moment, cancelled_at_each_wait
from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.ledger.pool import NumberedStatement, Pool, connected, in_one_trip, make_pool, ping, statement

AWAY = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=2) as pool:
        yield pool


async def count(pool: Pool) -> int:
    async with connected(pool) as connection:
        cursor = await connection.execute("SELECT count(*) FROM namespaces")
        [number] = await cursor.fetchone() or [0]
        return int(number)


async def execute(pool: Pool, *statements: str, timeout: float = 5.0) -> None:  # noqa: ASYNC109 (as `connected` has)
    """Run statements in one transaction."""
    async with connected(pool, timeout=timeout) as connection:
        for each in statements:
            await connection.execute(each.encode())


async def freeze(pool: Pool, *statements: str) -> None:
    """Stop the server's process within a transaction, then run statements and commit; wake it up at the end."""
    backend = 0
    try:
        async with connected(pool, timeout=0.2) as connection:
            backend = connection.info.backend_pid
            os.kill(backend, signal.SIGSTOP)
            for each in statements:
                await connection.execute(each.encode())
    finally:
        os.kill(backend, signal.SIGCONT)


INSERT = "INSERT INTO namespaces (name, unit_salt) VALUES ('shop', 'x')"


async def in_one(pool: Pool, text: str, timeout: float = 5.0) -> object:  # noqa: ASYNC109 (as `in_one_trip` has)
    """Run a statement without parameters as a transaction of its own."""
    return await in_one_trip(pool, NumberedStatement(text, ()), {}, timeout=timeout)


async def test_what_was_done_is_committed_at_the_end(pool: Pool) -> None:
    await execute(pool, INSERT)
    assert await count(pool) == 1


async def test_an_exception_rolls_everything_back_and_passes(pool: Pool) -> None:
    async def fail() -> None:
        async with connected(pool) as connection:
            await connection.execute(INSERT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(pool) == 0


PAIR = """
INSERT INTO namespaces (name, unit_salt)
SELECT 'n' || (SELECT count(*) FROM namespaces) + each, ''::bytea FROM generate_series(1, 2) each RETURNING name
"""
HALF = "INSERT INTO namespaces (name, unit_salt) SELECT 'h' || count(*), ''::bytea FROM namespaces"
STEPS: dict[str, Callable[[Pool], Awaitable[object]]] = {
    "in two statements": lambda pool: execute(pool, HALF, HALF),
    "in one trip": lambda pool: in_one(pool, PAIR),
}


@pytest.mark.parametrize("moment", ["while it waits", "when it gets its answer"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_a_cancelled_transaction_is_whole_or_undone(
    postgres_dsn: str, step: Callable[[Pool], Awaitable[object]], moment: Moment
) -> None:
    async with make_pool(postgres_dsn, max_size=1) as pool:
        await pool.wait()
        waits = 0
        async for _ in cancelled_at_each_wait(lambda: step(pool), moment):
            waits += 1
            # The only session works, and holds no lock.
            await execute(pool, "LOCK TABLE namespaces")
            assert await count(pool) % 2 == 0
        assert waits > 0
        assert await count(pool) >= 2


async def test_an_error_of_the_statement_itself_is_no_outage(pool: Pool) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        await execute(pool, INSERT, INSERT)
    assert await count(pool) == 0


async def test_a_statement_that_takes_too_long_is_stopped_by_the_server(pool: Pool) -> None:
    started = time.monotonic()
    with pytest.raises(PostgresUnavailableError, match="QueryCanceled"):
        await execute(pool, "SELECT pg_sleep(30)", timeout=0.2)
    assert time.monotonic() - started < 5
    await ping(pool)


async def test_a_time_limit_ends_with_its_transaction(pool: Pool) -> None:
    """Behind PgBouncer the next user of the connection is somebody else."""
    async with connected(pool, timeout=0.2):
        pass
    for _ in range(3):
        async with pool.connection() as connection:
            cursor = await connection.execute("SHOW statement_timeout")
            assert await cursor.fetchone() == ("0",)


@pytest.mark.parametrize("statements", [["SELECT 1"], []], ids=["at a statement", "at the commit"])
async def test_a_server_that_freezes_is_given_up(statements: list[str], pool: Pool) -> None:
    """A frozen process enforces no time limit and answers no cancel; its socket stays open."""
    started = time.monotonic()
    with pytest.raises(PostgresUnavailableError):
        await freeze(pool, *statements)
    assert time.monotonic() - started < 5
    await ping(pool)


async def test_a_connection_that_was_ended_is_replaced(pool: Pool) -> None:
    with pytest.raises(PostgresUnavailableError):
        await execute(pool, "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1")
    await ping(pool)


async def test_sessions_on_a_server_that_has_become_read_only_are_given_up(pool: Pool) -> None:
    """They live on after a failover, behind a proxy or a service's address; new ones reach the primary."""
    async with pool.connection() as first, pool.connection() as second:
        for connection in (first, second):
            await connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    for _ in range(2):
        with pytest.raises(PostgresUnavailableError, match="ReadOnlySqlTransaction"):
            await execute(pool, INSERT)
    await execute(pool, INSERT)
    assert await count(pool) == 1


async def test_a_session_on_a_standby_is_given_up(postgres_dsn: str) -> None:
    """A standby answers questions, with what it had when it was cut off, but not which timeline it is on."""
    recovery = "DO $$ BEGIN RAISE EXCEPTION 'recovery is in progress' USING ERRCODE = '55000'; END $$"
    async with make_pool(postgres_dsn, max_size=1) as pool:
        async with pool.connection() as connection:
            before = connection.info.backend_pid
        with pytest.raises(PostgresUnavailableError, match="ObjectNotInPrerequisiteState"):
            await execute(pool, recovery)
        async with pool.connection() as connection:
            assert connection.info.backend_pid != before


# --- one round trip


async def test_a_statement_in_one_trip_is_committed(pool: Pool) -> None:
    assert await in_one(pool, f"{INSERT} RETURNING name") == [("shop",)]
    assert await count(pool) == 1


async def test_a_statement_in_one_trip_that_fails_leaves_nothing_and_a_connection_that_works(postgres_dsn: str) -> None:
    async with make_pool(postgres_dsn, max_size=1) as pool:
        with pytest.raises(psycopg.errors.UniqueViolation):
            await in_one(pool, f"{INSERT}, ('shop', 'y')")
        assert await count(pool) == 0
        assert await in_one(pool, "SELECT 1") == [(1,)]


async def test_a_statement_in_one_trip_is_stopped_by_the_server_at_its_time_limit(pool: Pool) -> None:
    started = time.monotonic()
    with pytest.raises(PostgresUnavailableError, match="QueryCanceled"):
        await in_one(pool, "SELECT pg_sleep(30)", timeout=0.2)
    assert time.monotonic() - started < 5
    async with pool.connection() as connection:
        assert await (await connection.execute("SHOW statement_timeout")).fetchone() == ("0",)


async def test_a_server_that_freezes_in_one_trip_is_given_up(postgres_dsn: str) -> None:
    async with make_pool(postgres_dsn, max_size=1) as pool:
        async with pool.connection() as connection:
            backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(PostgresUnavailableError):
                await in_one(pool, "SELECT 1", timeout=0.2)
        finally:
            os.kill(backend, signal.SIGCONT)
        assert await in_one(pool, "SELECT 1") == [(1,)]


async def test_a_session_that_is_no_primary_is_given_up_in_one_trip(postgres_dsn: str) -> None:
    async with make_pool(postgres_dsn, max_size=1) as pool:
        async with pool.connection() as connection:
            await connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        with pytest.raises(PostgresUnavailableError, match="ReadOnlySqlTransaction"):
            await in_one(pool, f"{INSERT} RETURNING 1")
        assert await in_one(pool, f"{INSERT} RETURNING 1") == [(1,)]


# --- no server, no room, no schema


async def test_a_pool_opens_without_postgres_and_says_quickly_that_it_is_away() -> None:
    started = time.monotonic()
    async with make_pool(AWAY) as pool:
        assert time.monotonic() - started < 1
        with pytest.raises(PostgresUnavailableError, match="no connection"):
            await ping(pool)
    assert time.monotonic() - started < 4


async def test_an_exhausted_pool_says_so_instead_of_waiting(pool: Pool) -> None:
    async with connected(pool), connected(pool):
        started = time.monotonic()
        with pytest.raises(PostgresUnavailableError, match="no connection"):
            await ping(pool)
        assert time.monotonic() - started < 4
    await ping(pool)


async def test_a_closed_pool_is_an_outage(pool: Pool) -> None:
    await pool.close()
    with pytest.raises(PostgresUnavailableError):
        await ping(pool)


async def test_a_missing_schema_is_told_from_an_outage(empty_postgres_dsn: str) -> None:
    async with make_pool(empty_postgres_dsn) as pool:
        with pytest.raises(MissingSchemaError, match="bandit-service migrate"):
            await count(pool)


async def test_a_process_that_is_frozen_in_a_transaction_does_not_hold_its_locks_for_ever(
    pool: Pool, postgres_dsn: str
) -> None:
    async def hold() -> None:
        async with connected(pool, timeout=0.3) as connection:
            await connection.execute("LOCK TABLE namespaces IN ACCESS EXCLUSIVE MODE")
            # The event loop stands still, as it does in a process that is stopped.
            time.sleep(1.0)  # noqa: ASYNC251
            with psycopg.connect(postgres_dsn, autocommit=True) as other:
                other.execute("SET lock_timeout = '5s'")
                other.execute(INSERT)

    with pytest.raises(PostgresUnavailableError):
        await hold()
    assert await count(pool) == 1


@pytest.mark.parametrize("prepare", [False, True, None])
async def test_connections_carry_the_program_s_name_and_prepare_if_they_may(
    postgres_dsn: str,
    prepare: bool | None,  # noqa: FBT001 (a parameter of the test)
) -> None:
    async with make_pool(postgres_dsn, max_size=1, prepare=prepare) as pool, connected(pool) as connection:
        for _ in range(10):
            cursor = await connection.execute("SELECT current_setting('application_name')")
            assert await cursor.fetchone() == ("bandit-service",)
        cursor = await connection.execute("SELECT count(*) > 0 FROM pg_prepared_statements")
        assert await cursor.fetchone() == (prepare is not False,)


def test_every_statement_is_a_named_file_that_is_used() -> None:
    names = [
        file.name.removesuffix(".sql")
        for file in files("bandit_service.ledger.sql").iterdir()
        if file.name.endswith(".sql")
    ]
    source = "".join(file.read_text() for file in Path(bandit_service.__file__).parent.rglob("*.py"))
    assert names
    assert all(statement(name).strip() for name in names)
    assert [name for name in names if f'"{name}"' not in source] == []
