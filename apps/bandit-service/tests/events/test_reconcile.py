"""What a process acknowledged is in the stream or in Postgres, or it is sent again; and never twice."""

from __future__ import annotations

import asyncio

from bandit_service.domain.experiment import MICRO
from bandit_service.events.operations import DUPLICATE, UNRECORDED

from .rig import ID, RECOVERY_SECONDS, Process, Rig, activate, decide, reward, until


async def restarted(process: Process) -> None:
    """Have a process notice that the store was restarted."""
    await process.settle()
    await process.flush()


async def test_the_first_use_of_an_experiment_makes_its_state(rig: Rig) -> None:
    process = await rig.process()
    assert process.lane.epoch == (await rig.store.head(ID)).epoch == 1
    assert await rig.posterior(1) == (0, 0)


async def test_an_emptied_store_gets_back_what_was_written_and_what_was_not(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("written"), reward("written", 250_000))
    await process.drain()
    await process.commit(decide("kept", arm=1), reward("kept", 1, arm=1))
    await rig.redis.flushall()
    await restarted(process)
    assert (await rig.posterior(0), await rig.posterior(1)) == ((250_000, 750_000), (1, MICRO - 1))
    assert await rig.in_stream() == ["kept", "kept"]
    await process.drain()
    assert await rig.written() == [
        ("written", "decision"),
        ("written", "reward"),
        ("kept", "decision"),
        ("kept", "reward"),
    ]


async def test_what_a_process_and_postgres_both_have_is_not_sent_again(rig: Rig) -> None:
    """The process has not heard yet that Postgres has it."""
    process = await rig.process()
    await process.commit(decide("a"))
    await process.drain()
    assert len(process.lane.retained) == 1
    await rig.redis.flushall()
    await restarted(process)
    assert await rig.in_stream() == []
    assert (await rig.store.beliefs(ID, 1)).state.decisions == {0: 1}


async def test_a_batch_whose_answer_was_lost_with_the_store_is_sent_again_but_for_rewards(rig: Rig) -> None:
    """Nobody was told that the reward was taken; its caller asks again, and by then others have sent theirs again."""
    process = await rig.process()
    process.lane.queue.extend((decide("a"), reward("a")))
    batch = process.lane.next_batch(10)
    await process.connection.open()
    await process.connection.execute([batch.command])
    await rig.redis.flushall()
    await restarted(process)
    assert await rig.in_stream() == ["a"]
    assert (await rig.store.beliefs(ID, 1)).state.decisions == {0: 1}


async def test_a_batch_whose_answer_was_lost_is_not_sent_again_if_postgres_has_it(rig: Rig) -> None:
    process = await rig.process()
    process.lane.queue.append(reward("a"))
    batch = process.lane.next_batch(10)
    await process.connection.open()
    await process.connection.execute([batch.command])
    await process.drain()
    await rig.redis.flushall()
    await restarted(process)
    assert await rig.in_stream() == []
    assert await rig.posterior() == (MICRO, 0)


async def test_a_store_that_came_back_older_than_postgres_is_rebuilt(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"))
    saved = await rig.save()
    await process.commit(reward("a"), decide("b"))
    await process.drain()
    await process.commit(reward("b", 0))
    await rig.restore(saved)
    await restarted(process)
    assert process.lane.epoch == 2
    assert await rig.posterior() == (MICRO, MICRO)
    assert (await rig.store.beliefs(ID, 1)).state.decisions == {0: 2}
    assert await rig.in_stream() == ["b"]


async def test_a_store_that_came_back_older_but_not_than_postgres_goes_on_in_its_epoch(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"))
    saved = await rig.save()
    await process.commit(reward("a"), decide("b"))
    await rig.restore(saved)
    await restarted(process)
    assert process.lane.epoch == 1
    assert await rig.in_stream() == ["a", "a", "b"]
    assert await rig.posterior() == (MICRO, 0)


async def test_other_events_under_the_same_numbers_are_not_taken_for_ones_own(rig: Rig) -> None:
    """Another process was faster after the store came back older. Even a reward of the same decision is another one."""
    slow, fast = await rig.process("slow"), await rig.process("fast")
    saved = await rig.save()
    await slow.commit(decide("a"), decide("b"))
    await rig.restore(saved)
    await restarted(fast)
    await fast.commit(reward("a", marked=False), decide("c"))
    await restarted(slow)
    assert await rig.in_stream() == ["a", "c", "a", "b"]
    assert (await rig.store.beliefs(ID, 1)).state.decisions == {0: 3}


async def test_what_was_accepted_in_time_is_accepted_again_after_its_time(rig: Rig) -> None:
    process = await rig.process()
    soon = {"deadline_ms": (await _store_ms(rig)) + 150}
    results = await process.commit(
        decide("a"), reward("a", **soon), decide("b", deferred=True, counter=""), activate("b", **soon)
    )
    assert min(results) > 0
    await asyncio.sleep(0.2)
    await rig.redis.flushall()
    await restarted(process)
    assert await rig.posterior() == (MICRO, 0)
    assert (await rig.store.beliefs(ID, 1)).state.decisions == {0: 2}


async def test_an_accepted_reward_does_not_wait_for_the_process_that_activated_its_decision(rig: Rig) -> None:
    rewarding, activating = await rig.process("rewarding"), await rig.process("activating")
    await activating.commit(activate("a"))
    assert min(await rewarding.commit(reward("a", needs_activation=True))) > 0
    await rig.redis.flushall()
    await restarted(rewarding)
    assert await rig.posterior() == (MICRO, 0)
    await restarted(activating)
    assert (await rig.store.beliefs(ID, 1)).state.decisions == {0: 1}


async def test_a_decision_under_a_callers_own_id_is_the_one_that_was_acknowledged(rig: Rig) -> None:
    """Asked again elsewhere while the store has forgotten it, it is not made anew before its process told it again."""
    first, second = await rig.process("first"), await rig.process("second")
    await first.commit(decide("mine", arm=0, own_record=b"[0]"))
    await rig.redis.flushall()
    await restarted(second)
    assert await second.commit(decide("mine", arm=1, own_record=b"[1]")) == [UNRECORDED]
    await restarted(first)
    await _recovered(second)
    await second.flush()
    assert await rig.redis.get(f"experiment:{{{ID}}}:decision:mine") == b"2|[0]"
    assert (await rig.store.beliefs(ID, 2)).state.decisions == {0: 1}


async def test_a_reward_that_another_process_acknowledged_is_not_taken_again(rig: Rig) -> None:
    first, second = await rig.process("first"), await rig.process("second")
    await first.commit(reward("a", 400_000))
    await rig.redis.flushall()
    await restarted(second)
    assert await second.commit(reward("a", 900_000)) == [UNRECORDED]
    await restarted(first)
    await first.flush()
    await _recovered(second)
    assert await second.commit(reward("a", 900_000)) == [DUPLICATE]
    assert await rig.posterior() == (400_000, 600_000)


async def test_a_known_decision_under_a_callers_own_id_is_recognised_at_once(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("mine", own_record=b"[0]"))
    await process.drain()
    await rig.redis.flushall()
    await restarted(process)
    assert process.lane.recovering
    assert await process.commit(decide("mine", own_record=b"[0]")) == [DUPLICATE]


async def test_without_postgres_a_store_in_a_known_epoch_goes_on_and_nothing_is_released(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"))
    async with rig.without_postgres():
        process.reconciler.start(process.lane)
        await until(lambda: process.lane.is_open)
        assert not process.lane.is_verified
        await process.commit(decide("b"))
        process.lane.release(2)
        assert len(process.lane.retained) == 2
    await process.reconciler.settled(process.lane)
    assert process.lane.is_verified


async def test_without_postgres_a_store_that_came_back_older_does_not_go_on(rig: Rig) -> None:
    process = await rig.process()
    saved = await rig.save()
    await process.commit(decide("a"))
    await rig.restore(saved)
    async with rig.without_postgres():
        process.reconciler.start(process.lane)
        await asyncio.sleep(0.3)
        assert not process.lane.is_open
    await process.reconciler.settled(process.lane)
    await process.flush()
    assert await rig.in_stream() == ["a"]


async def test_a_new_process_starts_without_postgres_on_a_store_that_knows_the_experiment(rig: Rig) -> None:
    await rig.process("old")
    newcomer = await rig.start("new")
    async with rig.without_postgres():
        newcomer.reconciler.start(newcomer.lane)
        await until(lambda: newcomer.lane.is_open)
        assert await newcomer.commit(decide("a")) == [1]


async def test_nobody_waits_long_for_a_lane_that_does_not_settle(rig: Rig) -> None:
    process = await rig.process()
    waiting = process.committer.submit(process.lane, reward("a"))
    await rig.redis.flushall()
    async with rig.without_postgres():
        process.reconciler.start(process.lane)
        async with asyncio.timeout(3.0):
            assert await waiting == UNRECORDED


async def test_a_doubt_that_comes_while_another_is_looked_into_is_looked_into_as_well(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"))
    process.reconciler.start(process.lane)
    await asyncio.sleep(0)
    await rig.redis.flushall()
    process.reconciler.start(process.lane)
    await process.reconciler.settled(process.lane)
    await process.flush()
    assert await rig.in_stream() == ["a"]


async def test_two_processes_that_find_an_empty_store_rebuild_it_once(rig: Rig) -> None:
    one, two = await rig.process("one"), await rig.process("two")
    await one.commit(decide("a"))
    await two.commit(decide("b"))
    await rig.redis.flushall()
    await asyncio.gather(restarted(one), restarted(two))
    assert one.lane.epoch == two.lane.epoch == 2
    assert sorted(await rig.in_stream()) == ["a", "b"]


async def test_a_lane_recovers_some_time_after_it_settled(rig: Rig) -> None:
    process = await rig.process()
    states = [process.lane.recovering]
    await restarted(process)
    states.append(process.lane.recovering)
    await asyncio.sleep(RECOVERY_SECONDS + 0.1)
    assert [*states, process.lane.recovering] == [False, True, False]


async def _store_ms(rig: Rig) -> int:
    seconds, micros = await rig.redis.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


async def _recovered(process: Process) -> None:
    await until(lambda: not process.lane.recovering)
