"""What an ended process left in its stream is written once, and nothing it adds after that is acknowledged."""

from __future__ import annotations

import asyncio

import pytest
import redis

from bandit_service.domain.event import Batch
from bandit_service.ledger.pool import Pool
from bandit_service.spool.stream import STREAMS, StreamLostError, stream_key

from .conftest import Processes
from .process import Process, assert_totals_equal_events, event, events_in, query


async def leave(process: Process, name: str, *batches: Batch) -> None:
    """Leave a stream of an ended process whose heartbeat is old."""
    await process.producers.register(name)
    await process.streams.create(name)
    for batch in batches:
        await process.streams.append(name, batch)
    await query(process.pool, "UPDATE producers SET heartbeat_at = now() - interval '1 hour' WHERE name = %s", name)


async def turn(process: Process, *, judges: bool = True, may_drain: bool = True) -> None:
    judges_on = process.recorder.writing.timeline if judges else None
    await process.pickup.turn(process.names[0], judges_on=judges_on, may_drain=lambda: may_drain)


@pytest.fixture
async def process(processes: Processes) -> Process:
    process = processes.make()
    await process.keeper.beat()
    return process


async def others(process: Process) -> list[str]:
    found = await query(process.pool, "SELECT name FROM producers WHERE name <> %s", process.names[0])
    return [name for (name,) in found]


BATCHES = [Batch(number, (event(f"d{number}"), event(f"d{number}", "reward"))) for number in range(5)]


async def test_the_stream_of_an_ended_process_is_written_and_forgotten(
    process: Process, pool: Pool, store: redis.Redis
) -> None:
    await leave(process, "ended", *BATCHES)
    await turn(process)
    assert await events_in(pool) == await events_in(pool, "reward") == [f"d{number}" for number in range(5)]
    assert await others(process) == []
    assert b"ended" not in store.smembers(STREAMS)
    assert store.keys("bandit:spool:{ended}*") == []
    assert len(list(process.recorder.writing.kept)) == 10
    assert process.touched == {"e"}
    await assert_totals_equal_events(pool)


async def test_rows_that_the_ended_process_had_written_itself_are_kept_as_well(process: Process) -> None:
    timeline = process.recorder.writing.timeline
    await process.writer.write(BATCHES[0].rows, timeline)
    await leave(process, "ended", BATCHES[0])
    await turn(process)
    assert list(process.recorder.writing.kept) == BATCHES[0].rows


async def test_a_process_that_beats_is_left_alone(process: Process, pool: Pool) -> None:
    await leave(process, "alive", *BATCHES)
    await query(pool, "UPDATE producers SET heartbeat_at = now()")
    await turn(process)
    assert await others(process) == ["alive"]
    assert await events_in(pool) == []


async def test_who_has_not_reached_postgres_for_long_judges_nobody(process: Process, pool: Pool) -> None:
    await leave(process, "silent", *BATCHES)
    await turn(process, judges=False)
    assert await query(pool, "SELECT dead FROM producers WHERE name = 'silent'") == [(False,)]


async def test_before_the_ledger_is_whole_an_ended_process_is_marked_dead_but_not_drained(
    process: Process, pool: Pool
) -> None:
    """Marked, or the others would wait for it for ever; not drained, since a first reward may be written still."""
    await leave(process, "ended", *BATCHES)
    await turn(process, may_drain=False)
    assert await query(pool, "SELECT dead FROM producers WHERE name = 'ended'") == [(True,)]
    assert await events_in(pool, "reward") == []
    await turn(process)
    assert len(await events_in(pool, "reward")) == 5


async def test_a_frozen_process_that_was_taken_over_can_append_nothing_more(process: Process) -> None:
    await leave(process, "frozen", *BATCHES)
    await turn(process)
    with pytest.raises(StreamLostError):
        await process.streams.append("frozen", BATCHES[0])
    assert await process.producers.heartbeat("frozen", drained_to_ms=1, timeline="", dead_after=1.0) is None


async def test_two_that_take_over_at_once_write_everything_once(process: Process, pool: Pool) -> None:
    await leave(process, "ended", *BATCHES)
    await asyncio.gather(turn(process), turn(process))
    await turn(process)
    assert len(await events_in(pool)) == 5
    assert await others(process) == []
    await assert_totals_equal_events(pool)


async def test_a_stream_that_was_half_written_by_one_who_ended_as_well_is_written_to_the_end(
    process: Process, pool: Pool
) -> None:
    await leave(process, "ended", *BATCHES)
    await process.streams.take("ended")
    await process.writer.write(BATCHES[0].rows, process.recorder.writing.timeline)
    await turn(process)
    assert len(await events_in(pool)) == 5


async def test_an_append_that_was_repeated_is_written_once(process: Process, pool: Pool) -> None:
    await leave(process, "ended", BATCHES[0], BATCHES[0], BATCHES[1])
    await turn(process)
    assert await events_in(pool) == ["d0", "d1"]
    await assert_totals_equal_events(pool)


async def test_an_entry_that_cannot_be_read_is_kept_apart_and_the_rest_is_written(
    process: Process, pool: Pool, store: redis.Redis
) -> None:
    await leave(process, "ended", BATCHES[0])
    store.xadd(stream_key("ended"), {"b": b"\xc1"})
    await process.streams.append("ended", BATCHES[1])
    await turn(process)
    assert await events_in(pool) == ["d0", "d1"]
    assert await query(pool, "SELECT reason FROM refused_events") == [("unreadable",)]
    assert await others(process) == []


async def test_a_process_whose_registration_a_failover_has_lost_is_waited_for(process: Process, pool: Pool) -> None:
    """Its name is in the spool before it answers anything."""
    await process.streams.create("lost")
    await turn(process)
    assert await query(pool, "SELECT timeline, dead FROM producers WHERE name = 'lost'") == [("", False)]
    await process.keeper.beat()
    assert not process.recorder.others_follow


async def test_a_name_without_a_process_is_cleared_away_in_the_end(
    process: Process, pool: Pool, store: redis.Redis
) -> None:
    await process.streams.create("lost")
    await turn(process)
    await query(pool, "UPDATE producers SET heartbeat_at = now() - interval '1 hour' WHERE name = 'lost'")
    await turn(process)
    assert await others(process) == []
    assert b"lost" not in store.smembers(STREAMS)
