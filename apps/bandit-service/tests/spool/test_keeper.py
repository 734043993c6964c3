"""A process keeps its place in both stores, and finds out by itself when it has lost it."""

from __future__ import annotations

from typing import Any, cast

import redis

from bandit_service.domain.event import Batch, decode_batch
from bandit_service.ledger.pool import Pool
from bandit_service.spool.answers import Inserted, Queued
from bandit_service.spool.kept import KEPT_SECONDS
from bandit_service.spool.stream import STREAMS, stream_key

from .conftest import Processes
from .gate import Gate
from .process import DEAD_AFTER, Process, event, events_in, query, until


async def drained_to_ms(pool: Pool) -> int:
    [(milliseconds,)] = await query(pool, "SELECT (extract(epoch FROM drained_to) * 1000)::bigint FROM producers")
    return int(milliseconds)


async def test_a_process_begins_its_stream_once_the_ledger_knows_it(
    processes: Processes, postgres_gate: Gate, pool: Pool, store: redis.Redis
) -> None:
    process = processes.make()
    postgres_gate.cut()
    await process.keeper.beat()
    assert process.recorder.stream is None
    assert store.keys("bandit:spool*") == []
    postgres_gate.open()
    await until(lambda: beats(process))
    assert await query(pool, "SELECT name FROM producers") == [(process.names[0],)]
    assert store.smembers(STREAMS) == {process.names[0].encode()}
    assert process.recorder.health.spool


async def beats(process: Process) -> bool:
    await process.keeper.beat()
    return process.recorder.health.ledger


async def test_a_process_has_drained_up_to_the_oldest_event_that_the_ledger_may_not_have(
    processes: Processes, pool: Pool
) -> None:
    process = processes.make()
    await process.keeper.beat()
    received = event("d")
    process.recorder.record([received])
    process.recorder.record([event("d2")])
    await process.keeper.beat()
    assert await drained_to_ms(pool) < received.event_ms


async def test_an_idle_process_has_drained_up_to_nearly_now(processes: Processes, pool: Pool) -> None:
    process = processes.make()
    await process.keeper.beat()
    before = event("d").event_ms
    await process.keeper.beat()
    assert before - 1_000 < await drained_to_ms(pool) < before + 1_000


async def test_a_process_that_was_declared_dead_goes_on_under_a_new_name_with_what_it_has(
    processes: Processes, pool: Pool, store: redis.Redis
) -> None:
    process = processes.make()
    await process.keeper.beat()
    process.recorder.record([event("d")])
    await query(pool, "UPDATE producers SET dead = true")
    await process.keeper.beat()
    assert process.recorder.stream is None
    await process.keeper.beat()
    assert len(set(process.names)) == 2
    assert store.exists(stream_key(process.names[1]))


async def test_a_process_that_froze_before_it_began_its_stream_does_not_use_it(
    processes: Processes, pool: Pool
) -> None:
    """Others have declared it dead meanwhile, and looked for its stream in vain."""
    process = processes.make()
    create = process.streams.create

    async def frozen(name: str) -> None:
        await query(pool, "UPDATE producers SET dead = true")
        await create(name)

    process.streams.create = frozen  # type: ignore[method-assign]
    await process.keeper.beat()
    assert process.recorder.stream is None
    process.streams.create = create  # type: ignore[method-assign]
    await process.keeper.beat()
    assert process.recorder.stream is not None


async def test_a_lost_stream_is_not_begun_again_while_the_ledger_does_not_answer(
    processes: Processes, postgres_gate: Gate, store: redis.Redis
) -> None:
    """The process may have been declared dead, and nobody would look at the stream again."""
    process = processes.make()
    await process.keeper.beat()
    store.flushall()
    postgres_gate.cut()
    await process.keeper.beat()
    assert process.recorder.stream is None
    assert not process.recorder.health.spool
    assert not store.exists(stream_key(process.names[0]))


async def test_redis_is_used_again_at_once_after_a_slow_answer_although_postgres_does_not_answer(
    processes: Processes, postgres_gate: Gate, redis_gate: Gate
) -> None:
    process = await processes.start()
    postgres_gate.freeze()
    redis_gate.freeze()
    await process.recorder.record([event("a")])
    assert not process.recorder.health.spool
    redis_gate.open()
    await until(lambda: process.recorder.health.spool, seconds=1.5)
    assert await process.recorder.record([event("b")])


async def test_after_an_outage_nobody_takes_the_others_for_dead(
    processes: Processes, postgres_gate: Gate, pool: Pool
) -> None:
    a, b = await processes.start(), await processes.start()
    postgres_gate.cut()
    await until(lambda: not (a.recorder.health.beats or b.recorder.health.beats))
    await query(pool, "UPDATE producers SET heartbeat_at = now() - interval '1 hour'")
    postgres_gate.open()
    await until(lambda: a.recorder.health.beats and b.recorder.health.beats)
    b.monotonic.ahead = a.monotonic.ahead = DEAD_AFTER * 2
    await until(lambda: a.recorder.others_follow and b.recorder.others_follow)
    assert len(a.names) == len(b.names) == 1


async def test_rewards_wait_while_another_process_has_not_written_again(processes: Processes, pool: Pool) -> None:
    process = await processes.start()
    await process.producers.register("slow", timeline="00000000")
    await until(lambda: not process.recorder.others_follow)
    assert await process.recorder.decide([event("d", "reward")]) == [Queued()]
    assert await process.recorder.record([event("d")])
    await until(lambda: process.recorder.waiting == 1)
    assert (await events_in(pool), await events_in(pool, "reward")) == (["d"], [])
    await until(lambda: process.recorder.waiting == 0)
    await until(lambda: is_gone(pool, "slow"))


async def is_gone(pool: Pool, name: str) -> bool:
    return not await query(pool, "SELECT 1 FROM producers WHERE name = %s", name)


async def test_a_stream_that_its_process_left_in_order_is_gone(processes: Processes, store: redis.Redis) -> None:
    process = await processes.start()
    await process.streams.append(process.names[0], Batch(1, (event("d"),)))
    await process.stop()
    assert store.smembers(STREAMS) == set()


async def test_a_process_without_recent_rows_leaves_nothing(
    processes: Processes, store: redis.Redis, pool: Pool
) -> None:
    process = await processes.start()
    assert await process.recorder.record([event("d")])
    await process.written()
    process.monotonic.ahead += KEPT_SECONDS
    await process.stop()
    assert store.keys("bandit:spool*") == []
    assert await query(pool, "SELECT name FROM producers") == []


async def test_rows_of_the_last_minute_are_left_to_others(processes: Processes, store: redis.Redis) -> None:
    process = await processes.start()
    assert await process.recorder.record([event("d")])
    await process.written()
    rewards = [event("d", "reward"), event("e", "reward")]
    assert await process.recorder.decide(rewards) == [Inserted(), Inserted()]
    kept = set(process.recorder.writing.kept)
    await process.stop()
    left = [decode_batch(fields[b"b"]) for _, fields in cast("Any", store.xrange(stream_key(process.names[0])))]
    assert {row for batch in left for row in batch.rows} == kept
    assert len(kept) == 3
