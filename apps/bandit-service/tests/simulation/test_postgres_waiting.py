"""Which rows are waited for, and what becomes of a statement that has waited: the same on both servers."""

from __future__ import annotations

import pytest
from psycopg import errors

from bandit_service.domain.event import Row
from bandit_service.ledger.arrays import TEXT, packed
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.linear_outcomes import LearntOutcome

from .ledgers import Ledger
from .random_events import EXPERIMENTS, START_MS, UNITS
from .transactions import EXPERIMENT, HELD, TURN, begun, decisions_counted, event, meanwhile

BUCKET = {
    "experiment_id": EXPERIMENT.id,
    "bucket_ms": START_MS,
    "slots": [0],
    "events": [1],
    "timeline": "00000001",
}


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


async def test_an_insert_waits_for_the_change_of_a_row_and_not_for_its_lock(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.do("lock_lease", **HELD)
        assert await second.do("insert_lease", experiment_id=EXPERIMENT.id) == 0
        await first.do("next_turn", **TURN)
        async with meanwhile(second.do("insert_lease", experiment_id=EXPERIMENT.id)) as other:
            await first.commit()
            assert await other == 0


async def test_an_exposure_waits_for_its_rival(ledger: Ledger) -> None:
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event("a", unit_hash=UNITS[0], counted=False))
        async with meanwhile(second.insert(event("b", unit_hash=UNITS[0], counted=False), batch=2)) as other:
            await first.commit()
            assert await other == 1
        await second.commit()
    assert await ledger.traffic.unit_counts(EXPERIMENT.id) == (1, 0)


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
        assert set(claimed) == {EXPERIMENTS[1].id}
        await first.roll_back()
    assert set(await ledger.leases["p1"].claim(-1_000.0)) == {EXPERIMENT.id, EXPERIMENTS[1].id}


async def test_taking_a_lease_waits_for_who_has_it_locked(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.do("lock_lease", **HELD)
        async with meanwhile(ledger.leases["p1"].take(EXPERIMENT.id, -1_000.0)) as taking:
            await first.commit()
            assert await taking == Lease(EXPERIMENT.id, "p1", 2)


async def test_a_beat_waits_for_the_verdict_that_its_process_is_dead(ledger: Ledger) -> None:
    [producer] = await ledger.producers.all()
    async with begun(ledger) as first:
        dead = {"name": "p0", "heartbeat_at": producer.heartbeat_at, "timeline": "00000001"}
        assert await first.do("mark_producer_dead", **dead) == 1
        beat = ledger.producers.heartbeat("p0", drained_to_ms=0, timeline="00000001", dead_after=0.0)
        async with meanwhile(beat) as beating:
            await first.commit()
            assert await beating is None


async def test_a_process_that_has_beaten_meanwhile_is_not_dead(ledger: Ledger) -> None:
    [producer] = await ledger.producers.all()
    async with begun(ledger) as first:
        await first.do("heartbeat", name="p0", drained_to_ms=0, timeline="00000001", dead_after=0.0)
        async with meanwhile(ledger.producers.mark_dead(producer, "00000001")) as marking:
            await first.commit()
            assert await marking is False


async def test_a_beat_does_not_see_itself(ledger: Ledger) -> None:
    await ledger.set_timeline(2)
    beats = [
        await ledger.producers.heartbeat("p0", drained_to_ms=0, timeline="00000002", dead_after=0.0) for _ in range(3)
    ]
    assert [beat.is_whole for beat in beats if beat] == [False, True, True]


async def test_a_bucket_that_was_counted_meanwhile_is_not_deleted(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.insert(event("a", bucket_ms=START_MS))
        await first.commit()
    async with begun(ledger) as first, begun(ledger) as second:
        await first.insert(event("b", bucket_ms=START_MS), batch=2)
        async with meanwhile(second.do("delete_bucket", **BUCKET)) as deleting:
            await first.commit()
            assert await deleting == 0


async def test_a_bucket_that_is_being_deleted_begins_anew(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.insert(event("a", bucket_ms=START_MS))
        await first.commit()
    async with begun(ledger) as first, begun(ledger) as second:
        assert await first.do("delete_bucket", **BUCKET) == 1
        async with meanwhile(second.insert(event("b", bucket_ms=START_MS), batch=2)) as other:
            await first.commit()
            assert await other == 1
        await second.commit()
    assert [row["events"] for row in (await ledger.tables())["open_buckets"]] == [1]


async def test_a_bucket_of_a_former_timeline_stays(ledger: Ledger) -> None:
    async with begun(ledger) as first:
        await first.insert(event("a", bucket_ms=START_MS))
        await first.commit()
    await ledger.set_timeline(2)
    async with begun(ledger) as first:
        assert await first.do("delete_bucket", **BUCKET) == 0
        assert await first.do("delete_bucket", **BUCKET | {"timeline": "00000002"}) == 1


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


async def test_what_is_learnt_is_read_with_the_context_of_its_decision(ledger: Ledger) -> None:
    experiment = EXPERIMENTS[2]
    await ledger.create(experiment)
    lease = await ledger.leases["p0"].take(experiment.id, 1_000.0)
    assert lease is not None
    decision = event(experiment_id=experiment.id, context="[1.0,2.0]", settles=True)
    reward = event(experiment_id=experiment.id, kind="reward", counted=False, reward_micro=250_000, settles=True)
    await ledger.writer.write([Row(1, 0, decision), Row(1, 1, reward)], "00000001")
    settled = await ledger.settling.settle(lease, experiment)
    assert [(outcome.reward_micro, outcome.context) for outcome in settled.outcomes] == [(250_000, "[1.0,2.0]")]
    pages = [page async for page in ledger.linear.pages(experiment.id, 0, 1)]
    assert pages == [[LearntOutcome(0, 250_000, START_MS, "[1.0,2.0]")]]
