"""What a process has acknowledged is not lost, whichever store fails, and nobody waits for a store that is away."""

from __future__ import annotations

import asyncio
import time
from itertools import batched
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from bandit_service.domain.event import Batch, Row
from bandit_service.ledger.pool import Pool
from bandit_service.spool.answers import (
    Claimed,
    Duplicate,
    Inserted,
    Queued,
    Refused,
    TooManyWaitingError,
    UnrecordedError,
)
from bandit_service.spool.pending import Limits, Pending, Stream
from bandit_service.spool.recorder import Recorder
from bandit_service.spool.stream import SpoolUnavailableError, StreamLostError, stream_key

from .conftest import Processes
from .gate import Gate
from .process import Process, assert_totals_equal_events, event, events_in, query, until

DECISIONS = [f"d{number:02}" for number in range(30)]


async def record_all(process: Process) -> list[bool]:
    return await asyncio.gather(*[process.recorder.record([event(name)]) for name in DECISIONS])


async def decide(process: Process, *args: Any, respond_async: bool = False, **fields: Any) -> Any:
    [answer] = await process.recorder.decide([event(*args, **fields)], respond_async=respond_async)
    return answer


# --- both stores there


async def test_a_decision_is_in_the_spool_before_it_is_acknowledged_and_soon_in_the_ledger(
    processes: Processes, postgres_gate: Gate, store: redis.Redis, pool: Pool
) -> None:
    process = await processes.start()
    postgres_gate.freeze()
    assert await record_all(process) == [True] * 30
    assert store.xlen(stream_key(process.names[0])) > 1
    postgres_gate.open()
    await process.written()
    assert await events_in(pool) == DECISIONS
    assert process.touched == {"e"}
    await assert_totals_equal_events(pool)


async def test_a_reward_is_told_whether_it_is_the_first(processes: Processes) -> None:
    a, b = await processes.start(), await processes.start()
    await until(lambda: a.recorder.others_follow)
    assert await decide(a, "d", "reward", reward_micro=5) == Inserted()
    assert await decide(b, "d", "reward", reward_micro=9) == Duplicate(5, filled=False)
    assert await decide(a, "d", "reward", reward_micro=5) == Duplicate(5, filled=False)


async def test_a_reward_can_be_queued_at_once(processes: Processes, pool: Pool) -> None:
    process = await processes.start()
    assert await decide(process, "d", "reward", respond_async=True) == Queued()
    await process.written()
    assert await events_in(pool, "reward") == ["d"]


async def test_what_waits_for_the_queue_is_not_sent(processes: Processes) -> None:
    """A failover is noticed while a reward beside it is being queued: others may have to write theirs again first."""
    process = processes.make()
    await process.record_alone()
    recorder = process.recorder
    while not recorder.others_follow:
        await process.keeper.beat()
    stream = recorder.stream
    assert stream is not None
    recorder.stream = Unfollowed(stream, recorder)
    answers = await asyncio.gather(
        decide(process, "a", "reward", respond_async=True), decide(process, "b", "reward", reward_micro=9)
    )
    assert list(answers) == [Queued(), Queued()]


class Unfollowed:
    """A stream whose appends take so long that meanwhile the others do not follow (any more)."""

    def __init__(self, stream: Stream, recorder: Recorder) -> None:
        self._stream = stream
        self._recorder = recorder

    async def append(self, batch: Batch) -> str:
        self._recorder.others_follow = False
        return await self._stream.append(batch)

    async def probe(self) -> None:
        await self._stream.probe()


async def test_what_cannot_be_queued_at_once_is_decided(processes: Processes, redis_gate: Gate) -> None:
    process = await processes.start()
    await until(lambda: process.recorder.others_follow)
    redis_gate.cut()
    assert await decide(process, "d", "reward", respond_async=True) == Inserted()
    assert await decide(process, "d", "reward", respond_async=True) == Duplicate(1, filled=False)


async def test_an_event_that_cannot_be_stored_is_refused_and_others_are_not(processes: Processes) -> None:
    process = await processes.start()
    answers = await process.recorder.decide([event("a", "reward"), event("b\0", "reward"), event("c", "reward")])
    assert [type(answer) for answer in answers] == [Inserted, Refused, Inserted]


async def test_a_value_that_no_store_can_hold_keeps_nothing_else_back(processes: Processes, pool: Pool) -> None:
    process = await processes.start()
    futures = [process.recorder.record([event(name)]) for name in ("d1", "d\ud800", "d2")]
    assert await asyncio.gather(*futures) == [True] * 3
    await process.written()
    assert await events_in(pool) == ["d1", "d2"]


# --- one store away


async def test_acknowledged_decisions_survive_a_redis_that_lost_everything(
    processes: Processes, postgres_gate: Gate, store: redis.Redis, pool: Pool
) -> None:
    process = await processes.start()
    postgres_gate.freeze()
    assert all(await record_all(process))
    store.flushall()
    postgres_gate.open()
    await process.written()
    assert await events_in(pool) == DECISIONS


async def test_without_redis_the_ledger_acknowledges(processes: Processes, redis_gate: Gate, pool: Pool) -> None:
    process = await processes.start()
    redis_gate.cut()
    assert await record_all(process) == [True] * 30
    assert await events_in(pool) == DECISIONS
    assert await decide(process, "d", "reward") == Inserted()


async def test_a_redis_that_answers_nothing_is_waited_for_once(processes: Processes, redis_gate: Gate) -> None:
    process = await processes.start()
    redis_gate.freeze()
    started = time.monotonic()
    assert await record_all(process) == [True] * 30
    assert await decide(process, "d", "reward") == Inserted()
    assert time.monotonic() - started < 3


async def test_acknowledged_decisions_of_a_killed_process_are_written_by_another(
    processes: Processes, postgres_gate: Gate, pool: Pool
) -> None:
    process = await processes.start()
    postgres_gate.cut()
    assert all(await record_all(process))
    assert await decide(process, "d00", "reward", reward_micro=5) == Queued()
    await process.kill()
    postgres_gate.open()
    other = await processes.start()
    await until(lambda: is_gone(pool, process))
    assert await events_in(pool) == DECISIONS
    assert await events_in(pool, "reward") == ["d00"]
    assert await decide(other, "d00", "reward", reward_micro=6) == Duplicate(5, filled=False)
    await assert_totals_equal_events(pool)


async def is_gone(pool: Pool, process: Process) -> bool:
    return not await query(pool, "SELECT 1 FROM producers WHERE name = %s", process.names[0])


async def test_while_postgres_is_away_rewards_are_queued_and_the_first_wins_when_it_is_back(
    processes: Processes, postgres_gate: Gate, pool: Pool
) -> None:
    process = await processes.start()
    postgres_gate.cut()
    received = []
    for value in (3, 4, 5):
        reward = event("d", "reward", reward_micro=value)
        received.append(reward.event_ms)
        assert await process.recorder.decide([reward]) == [Queued()]
    postgres_gate.open()
    await process.written()
    stored = "SELECT reward_micro, (extract(epoch FROM event_time) * 1000)::bigint FROM bandit_events"
    assert await query(pool, stored) == [(3, received[0])]
    await assert_totals_equal_events(pool)


async def test_a_postgres_that_answers_nothing_queues_rewards_within_the_time_that_callers_have(
    processes: Processes, postgres_gate: Gate, pool: Pool
) -> None:
    process = await processes.start()
    postgres_gate.freeze()
    started = time.monotonic()
    assert await decide(process, "d", "reward") == Queued()
    assert time.monotonic() - started < 3
    assert await decide(process, "e", "reward") == Queued()
    postgres_gate.open()
    await process.written()
    assert await events_in(pool, "reward") == ["d", "e"]


# --- both stores away


async def test_without_any_store_callers_are_told_and_decisions_are_written_later(
    processes: Processes, redis_gate: Gate, postgres_gate: Gate, pool: Pool
) -> None:
    process = await processes.start()
    redis_gate.cut()
    postgres_gate.cut()
    started = time.monotonic()
    with pytest.raises(UnrecordedError):
        await decide(process, "d", "reward")
    assert await record_all(process) == [False] * 30
    assert time.monotonic() - started < 3
    redis_gate.open()
    postgres_gate.open()
    await process.written()
    assert await events_in(pool) == DECISIONS


async def test_without_any_answer_nobody_waits_for_long(
    processes: Processes, redis_gate: Gate, postgres_gate: Gate
) -> None:
    process = await processes.start()
    redis_gate.freeze()
    postgres_gate.freeze()
    started = time.monotonic()
    recorded = asyncio.gather(*[process.recorder.record([event(name)]) for name in DECISIONS])
    with pytest.raises(UnrecordedError):
        await decide(process, "d", "reward")
    assert await recorded == [False] * 30
    assert time.monotonic() - started < 5


async def test_a_process_keeps_no_more_than_its_limit(
    processes: Processes, redis_gate: Gate, postgres_gate: Gate, pool: Pool
) -> None:
    process = await processes.start(limits=Limits(memory=20_000, patience=0.2))
    redis_gate.cut()
    postgres_gate.cut()
    await record_all(process)
    assert process.recorder.waiting == 20
    assert process.recorder.dropped == 10
    with pytest.raises(TooManyWaitingError):
        process.recorder.decide([event("d", "reward")])
    redis_gate.open()
    postgres_gate.open()
    await process.written()
    assert await events_in(pool) == DECISIONS[:20]


async def test_a_long_outage_fits_into_a_fraction_of_its_memory_and_survives_an_emptied_redis(
    processes: Processes, postgres_gate: Gate, store: redis.Redis, pool: Pool
) -> None:
    process = await processes.start(limits=Limits(memory=3_000_000, patience=0.5))
    postgres_gate.cut()
    names = [f"d{number:05}" for number in range(10_000)]
    for some in batched(names, 500):
        assert all(await asyncio.gather(*[process.recorder.record([event(name)]) for name in some]))
    assert (process.recorder.waiting, process.recorder.dropped) == (10_000, 0)
    store.flushall()
    postgres_gate.open()
    await process.written()
    assert await events_in(pool) == names
    await assert_totals_equal_events(pool)
    await until(lambda: process.recorder.health.spool)


# --- callers


async def test_an_event_whose_caller_has_gone_is_not_written(processes: Processes, pool: Pool) -> None:
    process = processes.make()
    gone = process.recorder.decide([event("gone", "reward")])
    stays = process.recorder.decide([event("stays", "reward")])
    gone.cancel()
    await process.start()
    await stays
    await process.written()
    assert "gone" not in await events_in(pool, "reward")


async def test_an_idle_process_piles_nothing_up(processes: Processes) -> None:
    process = await processes.start()
    await asyncio.sleep(0.3)
    before = len(asyncio.all_tasks())
    await asyncio.sleep(1.0)
    assert len(asyncio.all_tasks()) <= before + 2
    assert process.recorder.oldest_ms() is None


# --- the stream


class LosingStream:
    """A stream that is found lost while an append waits for an answer that does not come."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def append(self, batch: Batch) -> str:
        self._process.recorder.lose_stream()
        raise SpoolUnavailableError(str(batch.number))

    async def probe(self) -> None:
        raise StreamLostError


async def test_a_stream_that_is_lost_while_an_append_waits_is_no_fault(
    processes: Processes, postgres_gate: Gate
) -> None:
    process = await processes.start()
    postgres_gate.cut()
    await until(lambda: not process.recorder.health.beats)
    process.recorder.stream = LosingStream(process)
    with capture_logs() as logged:
        await process.recorder.record([event("d")])
    assert [each["event"] for each in logged if each["log_level"] == "error"] == []
    assert process.recorder.stream is None


async def test_a_new_stream_begins_with_everything_that_is_not_written(
    processes: Processes, store: redis.Redis, pool: Pool
) -> None:
    """Rewards wait here because another process has still to write again."""
    process = await processes.start()
    await process.producers.register("slow", timeline="00000000")
    await until(lambda: not process.recorder.others_follow)
    for value in (1, 2):
        assert await decide(process, f"d{value}", "reward") == Queued()
    store.flushall()
    await until(lambda: store.xlen(stream_key(process.names[0])) == 3)
    assert process.recorder.spool_was_lost
    await process.kill()
    await query(pool, "DELETE FROM producers WHERE name = 'slow'")
    await processes.start()
    await until(lambda: is_gone(pool, process))
    assert await events_in(pool, "reward") == ["d1", "d2"]


async def test_an_entry_is_trimmed_after_a_minute_but_never_before_the_ledger_has_it(
    processes: Processes, store: redis.Redis
) -> None:
    process = processes.make()
    await process.record_alone()
    key = stream_key(process.names[0])
    assert await process.recorder.record([event("d1")])
    await process.written()
    await process.producers.register("slow", timeline="00000000")
    await process.keeper.beat()
    assert await decide(process, "d1", "reward") == Queued()
    assert await process.recorder.record([event("d2")])
    await until(lambda: process.recorder.waiting == 1)
    await process.keeper.beat()
    assert store.xlen(key) == 4
    process.monotonic.ahead = 61
    await process.keeper.beat()
    assert store.xlen(key) == 2


# --- what is kept for a failover


def kept(process: Process) -> list[Row]:
    return list(process.recorder.writing.kept)


async def test_rows_are_kept_for_a_minute_and_until_a_later_answer(processes: Processes, postgres_gate: Gate) -> None:
    process = processes.make()
    await process.record_alone()
    assert await process.recorder.record([event("d")])
    await process.written()
    process.monotonic.ahead = 59
    await process.keeper.beat()
    assert [row.event.decision_id for row in kept(process)] == ["d"]
    postgres_gate.cut()
    process.monotonic.ahead = 200
    await process.keeper.beat()
    assert len(kept(process)) == 1
    postgres_gate.open()
    await until(lambda: beats(process))
    assert kept(process) == []


async def beats(process: Process) -> bool:
    await process.keeper.beat()
    return process.recorder.health.beats


async def test_a_row_whose_insert_was_not_heard_is_kept_all_the_same(processes: Processes, pool: Pool) -> None:
    """It was acknowledged by the spool, and the retry finds it there already."""
    process = await processes.start()
    process.writer.deaf = 1
    assert await process.recorder.record([event("d")])
    await process.written()
    assert process.writer.deaf == 0
    assert [row.event.decision_id for row in kept(process)] == ["d"]
    assert await events_in(pool) == ["d"]


async def test_a_reward_whose_insert_was_not_heard_is_queued_and_kept(processes: Processes) -> None:
    process = await processes.start()
    process.writer.deaf = 1
    assert await decide(process, "d", "reward", reward_micro=5) == Queued()
    await process.written()
    assert [row.event.reward_micro for row in kept(process)] == [5]


async def test_who_answers_duplicate_keeps_the_row_it_has_read(processes: Processes) -> None:
    a, b = await processes.start(), await processes.start()
    await until(lambda: a.recorder.others_follow and b.recorder.others_follow)
    stored = event("d", "reward", reward_micro=5, arm_index=2, propensity=0.5)
    await a.recorder.decide([stored])
    await decide(b, "d", "reward", reward_micro=None, counted=False, arm_index=2)
    assert kept(b) == kept(a)
    assert kept(b)[0].event == stored


async def test_a_result_that_is_read_after_the_process_has_gone_on_is_unknown(processes: Processes, pool: Pool) -> None:
    process = processes.make()
    await process.record_alone()
    writing = process.recorder.writing
    timeline = writing.timeline

    def go_on() -> None:
        writing.timeline = "00000099"

    process.writer.after_write = go_on
    assert await decide(process, "d", "reward") == Queued()
    assert kept(process) == []
    process.writer.after_write, writing.timeline = None, timeline
    await process.written()
    assert [row.event.decision_id for row in kept(process)] == ["d"]
    assert await events_in(pool, "reward") == ["d"]


# --- ids of callers' own


async def test_an_own_id_belongs_to_one_decision_and_the_loser_is_told_of_it(processes: Processes, pool: Pool) -> None:
    a, b = await processes.start(), await processes.start()
    await until(lambda: a.recorder.others_follow and b.recorder.others_follow)
    assert await decide(a, "mine", claim="[1]", arm_index=1, decision_ms=1_000) == Inserted()
    assert await decide(b, "mine", claim="[2]", arm_index=2, decision_ms=2_000) == Claimed(1_000, "[1]")
    assert kept(b) == kept(a)
    assert await query(pool, "SELECT * FROM refused_events") == []


async def test_an_own_decision_that_was_acknowledged_and_lost_is_kept_apart(
    processes: Processes, postgres_gate: Gate, pool: Pool
) -> None:
    """Two processes whose store knew of no claim, while Postgres was away."""
    a, b = processes.make(), processes.make()
    for process in (a, b):
        await process.record_alone()
    postgres_gate.cut()
    for number, process in enumerate((a, b)):
        await process.keeper.beat()
        assert await decide(process, "mine", claim=f"[{number}]", decision_ms=number) == Queued()
    postgres_gate.open()
    await a.written()
    await b.written()
    [(winner,)] = await query(pool, "SELECT claim FROM own_ids")
    [(loser, reason)] = await query(pool, "SELECT event ->> 'claim', reason FROM refused_events")
    assert {f"{winner}", loser} == {"[0]", "[1]"}
    assert reason == "the id belongs to another decision"


async def test_an_own_decision_is_queued_only_while_heartbeats_fail(processes: Processes, postgres_gate: Gate) -> None:
    """A mere delay is no outage: another process may have the id in the ledger."""
    process = processes.make()
    await process.record_alone()
    postgres_gate.freeze()
    with pytest.raises(UnrecordedError):
        await decide(process, "mine", claim="[1]")
    await process.keeper.beat()
    assert await decide(process, "mine", claim="[1]") == Queued()
    postgres_gate.open()


async def test_an_own_decision_is_not_queued_once_the_store_has_lost_claims(
    processes: Processes, postgres_gate: Gate, store: redis.Redis
) -> None:
    process = processes.make()
    await process.record_alone()
    store.flushall()
    await process.keeper.beat()
    assert process.recorder.stream is not None
    postgres_gate.cut()
    await process.keeper.beat()
    with pytest.raises(UnrecordedError):
        await decide(process, "mine", claim="[1]")
    assert await decide(process, "d", "reward") == Queued()


def test_a_batch_is_decided_later_if_any_of_its_events_is() -> None:
    assert not Pending(Batch(1, (event("d"),)), None).is_decided
    assert Pending(Batch(1, (event("d"), event("d", "reward"))), None).is_decided
    assert Pending(Batch(1, (event("mine", claim="[1]"),)), None).is_decided
