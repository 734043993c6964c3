"""What ends a statement, and what it lets go of: the same on both servers."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg import errors

from bandit_service.ledger.leases import Lease, lock
from bandit_service.ledger.pool import PostgresUnavailableError, connected

from .ledgers import Ledger
from .random_events import EXPERIMENTS
from .transactions import EXPERIMENT, HELD, begun, meanwhile


async def test_of_two_that_wait_for_each_other_one_is_given_up(ledger: Ledger) -> None:
    second_lease = await ledger.leases["p0"].take(EXPERIMENTS[1].id, 1_000.0)
    assert second_lease is not None
    other = {**HELD, "experiment_id": EXPERIMENTS[1].id}
    async with begun(ledger) as first, begun(ledger) as second:
        await first.do("lock_lease", **HELD)
        await second.do("lock_lease", **other)
        ends = await asyncio.gather(
            first.do("lock_lease", **other), second.do("lock_lease", **HELD), return_exceptions=True
        )
    assert sorted(type(end).__name__ for end in ends) == ["DeadlockDetected", "list"]


async def test_a_statement_waits_no_longer_than_it_may(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger, seconds=0.3) as second:
        await first.do("lock_lease", **HELD)
        with pytest.raises(errors.QueryCanceled):
            await second.do("lock_lease", **HELD)
        with pytest.raises(errors.InFailedSqlTransaction):
            await second.do("timeline")
        await second.roll_back()
        assert await second.do("timeline") == [("00000001",)]


async def test_a_transaction_that_is_idle_for_too_long_lets_go(ledger: Ledger) -> None:
    async with begun(ledger, idle_seconds=0.5) as first, begun(ledger) as second:
        await first.do("lock_lease", **HELD)
        async with meanwhile(second.do("lock_lease", **HELD)) as lock:
            assert await lock == [(0,)]
        with pytest.raises(errors.IdleInTransactionSessionTimeout):
            await first.do("timeline")
        assert first.connection.closed


async def test_a_statement_that_fails_lets_go_at_once(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.do("lock_lease", **HELD)
        async with meanwhile(second.do("lock_lease", **HELD)) as lock:
            with pytest.raises(errors.UniqueViolation):
                await first.do("register_producer", name="p0", timeline="")
            assert await lock == [(0,)]


async def test_a_statement_whose_caller_is_cancelled_is_cancelled(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.do("lock_lease", **HELD)
        async with meanwhile(second.do("lock_lease", **HELD)) as lock:
            lock.cancel()
            with pytest.raises(asyncio.CancelledError):
                await lock
        with pytest.raises(errors.InFailedSqlTransaction):
            await second.do("timeline")


async def test_a_session_that_is_shut_down_is_an_outage(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.do("lock_lease", **HELD)

        async def shut_down() -> None:
            async with connected(ledger.pool, timeout=30.0) as connection:
                asyncio.get_running_loop().call_later(0.3, connection.shut_down)
                await lock(connection, Lease(EXPERIMENT.id, "p0", 1))

        with pytest.raises(PostgresUnavailableError):
            await shut_down()


async def test_an_unknown_experiment_has_no_lease(ledger: Ledger) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await ledger.leases["p0"].take("nobody's", 1.0)
