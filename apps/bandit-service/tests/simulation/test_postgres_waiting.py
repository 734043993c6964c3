"""What waits for what, and what is seen afterwards: the same on both servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import errors

from bandit_local.testing.servers import MIGRATED, NewDatabase
from bandit_service.domain.event import Event, Row
from bandit_service.ledger import maintenance
from bandit_service.ledger.arrays import TEXT, packed
from bandit_service.ledger.leases import Lease, lock
from bandit_service.ledger.pool import PostgresUnavailableError, connected

from .ledgers import Ledger, real_ledger, restore, save, simulated_ledger
from .programs import EXPERIMENTS, START_MS, UNITS
from .transactions import begun, meanwhile

EXPERIMENT = EXPERIMENTS[0]
HELD = {"experiment_id": EXPERIMENT.id, "holder": "p0", "token": 1}
TURN = {**HELD, "timeline": "00000001"}


@pytest.fixture(scope="module")
async def real(new_database: NewDatabase) -> AsyncIterator[Ledger]:
    """A real ledger, which is saved."""
    with new_database(MIGRATED) as dsn:
        async with real_ledger(dsn) as ledger:
            await save(ledger.pool)
            yield ledger


@pytest.fixture(params=["real", "simulated"])
async def ledger(request: pytest.FixtureRequest, real: Ledger) -> AsyncIterator[Ledger]:
    if request.param == "real":
        await restore(real.pool)
        ledger = Ledger(real.pool)
        await _prepare(ledger)
        yield ledger
    else:
        async with simulated_ledger() as ledger:
            await _prepare(ledger)
            yield ledger


async def _prepare(ledger: Ledger) -> None:
    await ledger.create(EXPERIMENT)
    await ledger.create(EXPERIMENTS[1])
    await ledger.producers.register("p0")
    await ledger.leases["p0"].take(EXPERIMENT.id, 1_000.0)


def event(decision_id: str = "d", **fields: Any) -> Event:
    given = Event(
        EXPERIMENT.id, decision_id, "decision", START_MS, START_MS, 0, "bandit", counted=True, weights_version=1
    )
    return replace(given, **fields)


async def decisions_counted(ledger: Ledger) -> int:
    [(counted, _)] = (await ledger.totals.changed([EXPERIMENT.id])).values()
    return counted


# Inserting.


async def test_a_batch_waits_for_the_rival_of_its_key_and_finds_it_there(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        assert await first.insert(event(arm_index=1)) == 1
        async with meanwhile(second.insert(event(arm_index=2), batch=2)) as rival:
            await first.commit()
            assert await rival == 0
        await second.commit()
    [found] = await ledger.writer.first([event()], "00000001")
    assert found is not None
    assert found.row.event.arm_index == 1
    assert await decisions_counted(ledger) == 1


async def test_a_batch_that_waited_goes_in_once_its_rival_was_rolled_back(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event())
        async with meanwhile(second.insert(event(), batch=2)) as rival:
            await first.roll_back()
            assert await rival == 1
        await second.commit()
    assert await decisions_counted(ledger) == 1


async def test_what_is_not_committed_is_not_seen(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event())
        assert await second.do("totals_changed", experiment_ids=[EXPERIMENT.id]) == []
        await first.commit()
        assert await second.do("totals_changed", experiment_ids=[EXPERIMENT.id]) == [(EXPERIMENT.id, 1, 0)]


async def test_two_batches_raise_one_total_one_after_the_other(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event("a"))
        async with meanwhile(second.insert(event("b"), batch=2)) as other:
            await first.commit()
            assert await other == 1
        await second.commit()
    assert await decisions_counted(ledger) == 2


async def test_an_own_id_waits_for_its_rival(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event(claim='{"n": 1}'))
        async with meanwhile(second.insert(event(decision_ms=START_MS + 1, claim='{"n": 2}'), batch=2)) as rival:
            await first.commit()
            assert await rival == 0
    assert await ledger.own_ids.read(EXPERIMENT.id, "d") == '{"n": 1}'


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
        await second.do("own_claim", experiment_id=EXPERIMENT.id, own_id="")
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


async def test_a_merge_takes_what_a_batch_leaves_that_it_waited_for(ledger: Ledger) -> None:
    ledger.writer.slot = 1_000
    assert len((await ledger.writer.write([Row(1, 0, event("a"))], "00000001")).inserted) == 1
    async with begun(ledger) as first:
        await first.insert(event("b"), batch=2)
        async with meanwhile(ledger.totals.merge([EXPERIMENT.id], 2_000)) as merging:
            await first.commit()
            assert await merging == {EXPERIMENT.id}
    assert [(row["slot"], row["decisions"]) for row in (await ledger.tables())["arm_totals"]] == [(0, 2)]


async def test_a_batch_that_waited_for_a_merge_begins_a_row_anew(ledger: Ledger) -> None:
    ledger.writer.slot = 1_000
    await ledger.writer.write([Row(1, 0, event("a"))], "00000001")
    async with begun(ledger) as first, begun(ledger) as second:
        merged = await first.do("merge_totals", experiment_ids=packed(TEXT, [EXPERIMENT.id]), before=2_000)
        assert merged == [(EXPERIMENT.id,)]
        async with meanwhile(second.insert(event("b"), batch=2)) as batch:
            await first.commit()
            assert await batch == 1
        await second.commit()
    rows = (await ledger.tables())["arm_totals"]
    assert sorted((row["slot"], row["decisions"]) for row in rows) == [(0, 1), (1_000, 1)]


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


async def test_an_insert_waits_for_the_change_of_a_row_and_not_for_its_lock(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.do("lock_lease", **HELD)
        assert await second.do("insert_lease", experiment_id=EXPERIMENT.id) == 0
        await first.do("next_turn", **TURN)
        async with meanwhile(second.do("insert_lease", experiment_id=EXPERIMENT.id)) as other:
            await first.commit()
            assert await other == 0


async def test_a_sweep_waits_for_nobody_it_does_not_see(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.insert(event(unit_hash=UNITS[0]))
        assert (await ledger.units.sweep([EXPERIMENT.id], [UNITS[0]])).events == 0
        await first.commit()
    assert (await ledger.units.sweep([EXPERIMENT.id], [UNITS[0]])).events == 1


async def test_an_exposure_waits_for_its_rival(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event("a", unit_hash=UNITS[0], counted=False))
        async with meanwhile(second.insert(event("b", unit_hash=UNITS[0], counted=False), batch=2)) as other:
            await first.commit()
            assert await other == 1
        await second.commit()
    assert await ledger.traffic.unit_counts(EXPERIMENT.id) == (1, 0)


# Locks of rows.


async def test_a_turn_waits_for_the_lease_and_looks_at_it_again(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        taken = await first.do("take_lease", experiment_id=EXPERIMENT.id, holder="p1", life=-1_000.0)
        assert taken == [(2,)]
        async with meanwhile(second.do("next_turn", **TURN)) as turn:
            await first.commit()
            assert await turn == []


async def test_a_turn_goes_on_where_the_last_one_ended(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        assert await first.do("next_turn", **TURN) == [(1,)]
        async with meanwhile(second.do("next_turn", **TURN)) as turn:
            await first.commit()
            assert await turn == [(2,)]


async def test_a_lock_waits_for_the_lease_and_looks_at_it_again(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.do("release_leases", holder="p0")
        async with meanwhile(second.do("lock_lease", **HELD)) as lock:
            await first.commit()
            assert await lock == []


async def test_claims_pass_over_what_is_locked(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.do("lock_lease", **HELD)
        claimed = await ledger.leases["p1"].claim(-1_000.0)
        assert set(claimed.held) == {EXPERIMENTS[1].id}
        await first.roll_back()
    assert set((await ledger.leases["p1"].claim(-1_000.0)).held) == {EXPERIMENT.id, EXPERIMENTS[1].id}


async def test_taking_a_lease_waits_for_who_has_it_locked(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.do("lock_lease", **HELD)
        async with meanwhile(ledger.leases["p1"].take(EXPERIMENT.id, -1_000.0)) as taking:
            await first.commit()
            assert await taking == Lease(EXPERIMENT.id, "p1", 2)


async def test_a_beat_waits_for_the_verdict_that_its_process_is_dead(ledger: Ledger) -> None:
    [producer] = await ledger.producers.all()
    async with begun(ledger) as first:
        dead = {"name": "p0", "heartbeat_at": producer.heartbeat_at}
        assert await first.do("mark_producer_dead", **dead) == 1
        beat = ledger.producers.heartbeat("p0", drained_to_ms=0, timeline="00000001", dead_after=0.0)
        async with meanwhile(beat) as beating:
            await first.commit()
            assert await beating is None


async def test_a_process_that_has_beaten_meanwhile_is_not_dead(ledger: Ledger) -> None:
    [producer] = await ledger.producers.all()
    async with begun(ledger) as first:
        await first.do("heartbeat", name="p0", drained_to_ms=0, timeline="00000001", dead_after=0.0)
        async with meanwhile(ledger.producers.mark_dead(producer)) as marking:
            await first.commit()
            assert await marking is False


async def test_a_beat_does_not_see_itself(ledger: Ledger) -> None:
    await ledger.set_timeline(2)
    beats = [
        await ledger.producers.heartbeat("p0", drained_to_ms=0, timeline="00000002", dead_after=0.0) for _ in range(3)
    ]
    assert [beat.is_whole for beat in beats if beat] == [False, True, True]


async def test_a_bucket_that_was_counted_meanwhile_is_not_deleted(ledger: Ledger) -> None:
    bucket = {"experiment_id": EXPERIMENT.id, "bucket_ms": START_MS, "slots": [0], "events": [1]}
    async with begun(ledger) as first:
        await first.insert(event("a", bucket_ms=START_MS))
        await first.commit()
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event("b", bucket_ms=START_MS), batch=2)
        async with meanwhile(second.do("delete_bucket", **bucket)) as deleting:
            await first.commit()
            assert await deleting == 0


async def test_a_bucket_that_is_being_deleted_begins_anew(ledger: Ledger) -> None:
    bucket = {"experiment_id": EXPERIMENT.id, "bucket_ms": START_MS, "slots": [0], "events": [1]}
    async with begun(ledger) as first:
        await first.insert(event("a", bucket_ms=START_MS))
        await first.commit()
    async with begun(ledger) as first, begun(ledger) as second:
        assert await first.do("delete_bucket", **bucket) == 1
        async with meanwhile(second.insert(event("b", bucket_ms=START_MS), batch=2)) as other:
            await first.commit()
            assert await other == 1
        await second.commit()
    assert [row["events"] for row in (await ledger.tables())["open_buckets"]] == [1]


async def test_a_foreign_key_waits_for_who_has_locked_its_row(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.do("lock_experiment", id=EXPERIMENT.id)
        arm = {"experiment_id": EXPERIMENT.id, "index": 5, "id": "z", "status": "active"}
        prior = {"prior_alpha_micro": 1, "prior_beta_micro": 1}
        async with meanwhile(second.do("put_arm", **arm, **prior)) as other:
            await first.commit()
            assert await other == 1


async def test_a_lock_waits_for_who_refers_to_its_row(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        arm = {"experiment_id": EXPERIMENT.id, "index": 5, "id": "z", "status": "active"}
        await first.do("put_arm", **arm, prior_alpha_micro=1, prior_beta_micro=1)
        async with meanwhile(second.do("lock_experiment", id=EXPERIMENT.id)) as lock:
            await first.commit()
            assert isinstance(await lock, list)


async def test_a_name_is_registered_once(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.do("register_producer", name="p1", timeline="")
        async with meanwhile(ledger.producers.register("p1")) as rival:
            await first.commit()
            with pytest.raises(errors.UniqueViolation):
                await rival


async def test_two_that_register_at_once_may_share_a_slot(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        [(slot, *_)] = await first.do("register_producer", name="p1", timeline="")  # type: ignore[misc]
        assert (await ledger.producers.register("p2")).slot == slot
        await first.commit()


# Errors.


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
