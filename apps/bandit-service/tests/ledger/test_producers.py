"""Processes are told from dead ones, and nothing is decided before each has written again after a failover."""

from __future__ import annotations

import pytest

from bandit_service.ledger.pool import Pool
from bandit_service.ledger.producers import Beat, Producers


@pytest.fixture
def producers(pool: Pool) -> Producers:
    return Producers(pool)


async def beat(producers: Producers, name: str, timeline: str) -> Beat | None:
    return await producers.heartbeat(name, drained_to_ms=1, timeline=timeline, dead_after=0.0)


async def is_whole(producers: Producers, name: str, timeline: str) -> bool:
    found = await beat(producers, name, timeline)
    return found is not None and found.is_whole


async def execute(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement.encode())


async def test_a_new_process_gets_the_lowest_slot_that_no_living_process_has(producers: Producers) -> None:
    registered = [await producers.register(name) for name in "abc"]
    assert [each.slot for each in registered] == [0, 1, 2]
    [_, b, _] = await producers.all()
    assert await producers.mark_dead(b, registered[1].timeline)
    assert (await producers.register("d")).slot == 1


async def test_a_heartbeat_of_a_process_that_is_not_known_says_so(producers: Producers) -> None:
    assert await beat(producers, "nobody", "00000001") is None


async def test_a_process_that_was_marked_dead_is_told_so(producers: Producers) -> None:
    registered = await producers.register("a")
    [a] = await producers.all()
    assert await producers.mark_dead(a, registered.timeline)
    assert await beat(producers, "a", registered.timeline) is None


async def test_a_process_is_not_marked_dead_if_it_has_sent_a_heartbeat_since_it_was_looked_at(
    producers: Producers,
) -> None:
    registered = await producers.register("a")
    [seen] = await producers.all()
    assert await beat(producers, "a", registered.timeline) is not None
    assert not await producers.mark_dead(seen, registered.timeline)


async def test_on_another_timeline_nobody_dies(producers: Producers) -> None:
    registered = await producers.register("a")
    [a] = await producers.all()
    assert not await producers.mark_dead(a, "0000000A")
    assert await beat(producers, "a", registered.timeline) is not None


async def test_the_ledger_is_whole_once_every_living_process_has_written_again(
    pool: Pool, producers: Producers
) -> None:
    registered = await producers.register("a")
    await producers.register("slow")
    assert await is_whole(producers, "a", registered.timeline)
    await execute(pool, "UPDATE producers SET timeline = '00000000' WHERE name = 'slow'")
    assert not await is_whole(producers, "a", registered.timeline)
    await beat(producers, "slow", registered.timeline)
    assert await is_whole(producers, "a", registered.timeline)


async def test_a_process_with_an_old_heartbeat_is_waited_for_until_it_is_marked_dead(
    pool: Pool, producers: Producers
) -> None:
    registered = await producers.register("a")
    await producers.register("slow")
    await execute(
        pool,
        "UPDATE producers SET timeline = '00000000', heartbeat_at = now() - interval '1 day' WHERE name = 'slow'",
    )
    assert not await is_whole(producers, "a", registered.timeline)
    [slow] = [producer for producer in await producers.all() if producer.name == "slow"]
    await producers.mark_dead(slow, registered.timeline)
    assert await is_whole(producers, "a", registered.timeline)


async def test_after_a_failover_lost_processes_have_the_time_to_register_again(
    pool: Pool, producers: Producers
) -> None:
    """Nobody can wait for a process whose registration was lost with the tail of the log."""
    await execute(pool, "DELETE FROM timelines")
    registered = await producers.register("a")
    for _ in range(2):
        found = await producers.heartbeat("a", drained_to_ms=1, timeline=registered.timeline, dead_after=60.0)
        assert found is not None
        assert not found.is_whole
    await execute(pool, "UPDATE timelines SET settled_at = now()")
    assert await is_whole(producers, "a", registered.timeline)


async def test_a_lost_process_that_others_know_of_is_waited_for(producers: Producers) -> None:
    registered = await producers.register("a")
    await producers.enter_lost(["a", "lost"])
    assert not await is_whole(producers, "a", registered.timeline)
    assert await beat(producers, "lost", registered.timeline) is not None
    assert await is_whole(producers, "a", registered.timeline)


async def test_a_process_that_registers_anew_has_not_written_again_by_that(producers: Producers) -> None:
    await producers.register("a", timeline="00000000")
    registered = await producers.register("b")
    assert registered.timeline != "00000000"
    assert not await is_whole(producers, "b", registered.timeline)
