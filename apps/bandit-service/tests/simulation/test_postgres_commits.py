"""When a transaction is seen by others, and who is waited for until then: the same on both servers."""

from __future__ import annotations

import pytest

from bandit_service.domain.event import Row
from bandit_service.ledger import maintenance
from bandit_service.ledger.pool import PostgresUnavailableError

from .ledgers import Ledger
from .random_events import UNITS
from .transactions import EXPERIMENT, HELD, begun, decisions_counted, event, meanwhile


async def test_what_is_not_committed_is_not_seen(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event())
        assert await second.do("totals_changed", experiment_ids=[EXPERIMENT.id]) == []
        await first.commit()
        assert await second.do("totals_changed", experiment_ids=[EXPERIMENT.id]) == [(EXPERIMENT.id, 1, 0)]


async def test_a_batch_keeps_a_unit_that_was_erased_while_it_waited(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event("a"))
        batch = second.insert(event("a"), event("b", unit_hash=UNITS[0]), batch=2)
        async with meanwhile(batch) as waiting:
            buried = await ledger.units.bury([UNITS[0]])
            await first.commit()
            await waiting
        assert (await ledger.units.sweep([EXPERIMENT.id], [UNITS[0]])).events == 0
        async with meanwhile(ledger.units.outlive(buried, patience=5.0)) as outliving:
            await second.commit()
            await outliving
    assert (await ledger.units.sweep([EXPERIMENT.id], [UNITS[0]])).events == 1


async def test_a_statement_that_has_written_nothing_is_waited_for_too(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await maintenance.wait_for_turn(first.connection)
        async with meanwhile(maintenance.wait_for_turn(second.connection)) as turn:
            buried = await ledger.units.bury([UNITS[0]])
            async with meanwhile(ledger.units.outlive(buried, patience=5.0)) as outliving:
                await first.commit()
                await turn
                await second.commit()
                await outliving


async def test_a_statement_without_parameters_lets_go_of_the_snapshot(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await maintenance.wait_for_turn(first.connection)
        buried = await ledger.units.bury([UNITS[0]])
        async with meanwhile(ledger.units.outlive(buried, patience=5.0)) as outliving:
            await first.do("timeline")
            await outliving
        await second.do("namespace_salt", name="default")
        await ledger.units.outlive(buried, patience=5.0)


async def test_a_lock_is_waited_for_as_what_is_written_is(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.do("lock_lease", **HELD)
        buried = await ledger.units.bury([UNITS[0]])
        async with meanwhile(ledger.units.outlive(buried, patience=5.0)) as outliving:
            await first.commit()
            await outliving


async def test_a_commit_that_waits_for_a_standby_is_not_seen(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.insert(event())
        await ledger.hold_commits()
        try:
            async with meanwhile(first.commit()) as committing:
                assert await decisions_counted(ledger) == 0
                await ledger.release_commits()
                await committing
        finally:
            await ledger.release_commits()
    assert await decisions_counted(ledger) == 1


async def test_a_commit_is_made_when_its_client_waits_no_longer_for_a_standby(ledger: Ledger) -> None:
    await ledger.hold_commits()
    try:
        with pytest.raises(PostgresUnavailableError, match="standby has not confirmed"):
            await ledger.writer.write([Row(1, 0, event())], "00000001", timeout=0.3)
        with pytest.raises(PostgresUnavailableError, match="standby has not confirmed"):
            await ledger.producers.enter_lost(["p5"])
        assert await decisions_counted(ledger) == 1
    finally:
        await ledger.release_commits()
    assert "p5" in {producer.name for producer in await ledger.producers.all()}


async def test_a_commit_under_way_is_waited_for_as_its_statement_was(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event("a"))
        async with meanwhile(second.insert(event("a"), event("b", unit_hash=UNITS[0]), batch=2)) as waiting:
            buried = await ledger.units.bury([UNITS[0]])
            await first.commit()
            await waiting
        await ledger.hold_commits()
        try:
            outlive = ledger.units.outlive(buried, patience=5.0)
            async with meanwhile(second.commit()) as committing, meanwhile(outlive) as outliving:
                await ledger.release_commits()
                await committing
                await outliving
        finally:
            await ledger.release_commits()
    assert (await ledger.units.sweep([EXPERIMENT.id], [UNITS[0]])).events == 1


async def test_a_sweep_waits_for_nobody_it_does_not_see(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.insert(event(unit_hash=UNITS[0]))
        assert (await ledger.units.sweep([EXPERIMENT.id], [UNITS[0]])).events == 0
        await first.commit()
    assert (await ledger.units.sweep([EXPERIMENT.id], [UNITS[0]])).events == 1
