"""Postgres gets each event once, and the stream is trimmed only of what Postgres has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bandit_service.domain.experiment import MICRO
from bandit_service.events.operations import close_of
from bandit_service.events.writer import Writer
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.events import Refusal
from bandit_service.redis_store.errors import StoreUnavailableError

from .rig import ID, Rig, decide, now_ms, reward


async def test_what_is_written_is_trimmed_and_released(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"), reward("a", 400_000), reward("b", None))
    await process.drain()
    assert await rig.written() == [("a", "decision"), ("a", "reward"), ("b", "reward")]
    assert await rig.in_stream() == []
    await process.committer.look()
    assert not process.lane.retained


async def test_an_event_is_written_as_it_happened(rig: Rig) -> None:
    process = await rig.process()
    at = now_ms() - 1_000
    operation = decide("a", arm=1, at=at, unit_hash="ab" * 16, remembers_unit=True)
    await process.commit(operation, reward("a", 250_000, arm=1, at=at))
    await process.drain()
    rows = await rig.rows(
        "SELECT kind, epoch, seq, arm_index, stratum, propensity, reward_micro, believed, encode(unit_hash, 'hex'),"
        " first_exposure, (extract(epoch FROM decision_time) * 1000)::bigint FROM bandit_events ORDER BY seq"
    )
    assert rows == [
        ("decision", 1, 1, 1, "bandit", 0.5, None, False, "ab" * 16, True, at),
        ("reward", 1, 2, 1, "bandit", 0.5, 250_000, True, None, None, at),
    ]


async def test_a_closed_window_is_written_with_what_it_was_worth(rig: Rig) -> None:
    process = await rig.process()
    at = now_ms() - 2_000
    members = [f"0|{at}|{name}" for name in ("silent", "rewarded", "ignored")]
    await process.commit(*[decide(member.split("|")[2], at=at, closes_ms=at + 1) for member in members])
    await process.commit(reward("rewarded", 300_000, mode="z", at=at), reward("ignored", None, mode="z", at=at))
    await process.commit(*[close_of(member, now_ms()) for member in members])
    await process.drain()
    rows = await rig.rows("SELECT decision_id, reward_micro, believed FROM bandit_events WHERE kind = 'close'")
    assert sorted(rows) == [("ignored", None, False), ("rewarded", 300_000, True), ("silent", 0, True)]


async def test_a_writer_that_stopped_between_commit_and_trim_writes_nothing_twice(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"), decide("b"))
    saved = await rig.save()
    await process.drain()
    await rig.restore(saved)
    await process.commit(decide("c"))
    await process.drain()
    assert await rig.written() == [(name, "decision") for name in "abc"]
    assert (await rig.store.head(ID)).committed == 3
    assert await rig.in_stream() == []


async def test_two_writers_of_one_stream_write_each_event_once(rig: Rig) -> None:
    """A lease that ran out unnoticed: the second holder is at work already."""
    one, two = await rig.process("one"), await rig.process("two")
    await one.commit(*[decide(str(number)) for number in range(200)])
    await asyncio.gather(one.drain(), two.drain())
    assert len(await rig.written()) == 200
    assert await rig.in_stream() == []


async def test_a_slow_writer_whose_events_another_has_written_is_no_reason_for_alarm(rig: Rig) -> None:
    slow, fast = await rig.process("slow"), await rig.process("fast")
    await slow.commit(decide("a"))
    async with _held_back(rig):
        writing = asyncio.create_task(slow.writer.drain([ID]))
        await asyncio.sleep(0.2)
        await fast.commit(decide("b"))
        overtaking = asyncio.create_task(fast.writer.drain([ID]))
        await asyncio.sleep(0.2)
    assert (await writing).refused == (await overtaking).refused == {}
    await slow.drain()
    assert await rig.written() == [("a", "decision"), ("b", "decision")]


async def test_a_stream_with_a_gap_is_refused_and_left_alone(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"), decide("b"))
    await rig.redis.xdel(f"experiment:{{{ID}}}:events", "1-1")
    assert (await process.writer.drain([ID])).refused == {ID: Refusal.GAP}
    assert await rig.written() == []
    assert await rig.in_stream() == ["b"]


async def test_events_behind_a_gap_wait_for_those_before_it(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(*[decide(name) for name in "abc"])
    await rig.redis.xdel(f"experiment:{{{ID}}}:events", "1-2")
    await process.writer.drain([ID])
    assert await rig.written() == [("a", "decision")]
    assert (await rig.store.head(ID)).committed == 1


async def test_a_writer_of_an_earlier_epoch_is_fenced_off(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"))
    await rig.events.raise_epoch(ID)
    assert (await process.writer.drain([ID])).refused == {ID: Refusal.OTHER_EPOCH}
    assert await rig.written() == []
    assert await rig.in_stream() == ["a"]


async def test_what_was_read_before_the_store_was_restarted_is_not_written(rig: Rig) -> None:
    """Written, it could claim numbers that the restarted store has given to other events meanwhile."""
    process = await rig.process()
    await process.commit(decide("a"))
    async with _held_back(rig):
        writing = asyncio.create_task(process.writer.drain([ID]))
        await asyncio.sleep(0.2)
        await rig.redis.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(StoreUnavailableError):
        await writing
    assert await rig.written() == []
    await process.drain()
    assert await rig.written() == [("a", "decision")]


async def test_without_postgres_nothing_is_trimmed_and_the_lag_grows(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"))
    async with rig.without_postgres():
        with pytest.raises(PostgresUnavailableError):
            await process.writer.drain([ID])
        assert await rig.in_stream() == ["a"]
        first = process.writer.lag
        await asyncio.sleep(0.05)
        assert process.writer.lag >= first + 0.05
    await process.drain()
    assert process.writer.lag == 0.0


async def test_a_long_stream_is_written_in_rounds(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(*[decide(str(number)) for number in range(25)])
    writer = Writer(process.streams, rig.events, clock=lambda: 0.0, batch=10)
    assert [(await writer.drain([ID])).has_more for _ in range(4)] == [True, True, False, False]
    assert [name for name, _ in await rig.written()] == [str(number) for number in range(25)]


async def test_the_fold_of_what_was_written_is_the_posterior(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(*[reward(str(number), number * 1_001, arm=number % 2) for number in range(300)])
    await process.drain()
    folded = await rig.rows(
        "SELECT arm_index, sum(reward_micro)::bigint, (count(*) * 1000000 - sum(reward_micro))::bigint"
        " FROM bandit_events WHERE believed GROUP BY 1 ORDER BY 1"
    )
    assert folded == [(arm, *(await rig.posterior(arm))) for arm in (0, 1)]
    assert sum(await rig.posterior(0)) == 150 * MICRO


async def test_an_empty_stream_takes_no_transaction(rig: Rig) -> None:
    process = await rig.process()
    async with rig.without_postgres():
        assert not (await process.writer.drain([ID])).has_more


@asynccontextmanager
async def _held_back(rig: Rig) -> AsyncIterator[None]:
    """Let nobody write."""
    async with rig.pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT FROM event_positions FOR UPDATE")
        yield
