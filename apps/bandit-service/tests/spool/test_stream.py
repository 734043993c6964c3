"""A process's stream takes its batches while it is there, and none once it was taken over or lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
import redis

from bandit_service.domain.event import Batch
from bandit_service.spool.stream import (
    SpoolUnavailableError,
    StreamLostError,
    Streams,
    probe_key,
    stream_key,
    taken_key,
)

from .process import DECIDED, event


def batch(number: int) -> Batch:
    reward = event("ü", "reward", reward_micro=-5, context='{"x": 1}', event_ms=DECIDED)
    return Batch(number, (event(f"d{number}", event_ms=DECIDED), reward))


@pytest.fixture
async def streams(redis_url: str) -> AsyncIterator[Streams]:
    streams = Streams(redis_url, timeout=2.0)
    yield streams
    await streams.close()


async def taken(streams: Streams, name: str) -> list[Batch | bytes]:
    return [entry async for entries in streams.taken(name) for entry in entries]


async def test_batches_come_back_as_they_were_in_their_order(streams: Streams) -> None:
    await streams.create("p")
    for number in range(250):
        await streams.append("p", batch(number))
    await streams.take("p")
    assert [entry.number for entry in await taken(streams, "p") if isinstance(entry, Batch)] == list(range(250))
    assert (await taken(streams, "p"))[7] == batch(7)


async def test_a_stream_that_was_never_begun_takes_nothing(streams: Streams, store: redis.Redis) -> None:
    with pytest.raises(StreamLostError):
        await streams.append("p", batch(1))
    assert not store.exists(stream_key("p"))


async def test_a_stream_that_was_taken_over_takes_nothing_more(streams: Streams) -> None:
    await streams.create("p")
    await streams.append("p", batch(1))
    await streams.take("p")
    with pytest.raises(StreamLostError):
        await streams.append("p", batch(2))
    with pytest.raises(StreamLostError):
        await streams.probe("p")


async def test_a_stream_can_be_found_by_its_name_until_it_is_forgotten(streams: Streams, store: redis.Redis) -> None:
    await streams.create("p")
    assert await streams.names() == ["p"]
    await streams.forget("p")
    assert await streams.names() == []
    assert not store.exists(stream_key("p"))


async def test_what_two_took_over_one_after_the_other_is_not_forgotten_unread(streams: Streams) -> None:
    """The first one ended before it had read the stream; the process had begun it again meanwhile."""
    await streams.create("p")
    await streams.append("p", batch(1))
    await streams.take("p")
    await streams.create("p")
    await streams.append("p", batch(2))
    await streams.take("p")
    assert await taken(streams, "p") == [batch(1)]
    assert not await streams.forget_taken("p")
    assert await streams.names() == ["p"]
    await streams.take("p")
    assert await taken(streams, "p") == [batch(2)]
    assert await streams.forget_taken("p")
    assert await streams.names() == []


async def test_trimming_drops_what_is_before_an_entry(streams: Streams) -> None:
    await streams.create("p")
    entries = [await streams.append("p", batch(number)) for number in range(3)]
    await streams.trim("p", entries[1])
    await streams.take("p")
    assert await taken(streams, "p") == [batch(1), batch(2)]


async def test_a_store_that_has_gone_back_to_an_earlier_state_is_seen(streams: Streams, store: redis.Redis) -> None:
    await streams.create("p")
    await streams.probe("p")
    earlier = store.dump(probe_key("p"))
    await streams.probe("p")
    store.restore(probe_key("p"), 0, cast("bytes", earlier), replace=True)
    with pytest.raises(StreamLostError):
        await streams.probe("p")
    await streams.probe("p")


async def test_probes_at_the_same_time_see_no_loss(redis_url: str) -> None:
    both = [Streams(redis_url, timeout=5.0) for _ in range(2)]
    await both[0].create("p")
    for _ in range(20):
        await asyncio.gather(*(each.probe("p") for each in both for _ in range(3)))
    for each in both:
        await each.close()


async def test_an_entry_that_is_no_batch_comes_back_as_it_is(streams: Streams, store: redis.Redis) -> None:
    await streams.create("p")
    store.xadd(stream_key("p"), {"b": b"\xc1"})
    await streams.append("p", batch(1))
    await streams.take("p")
    assert await taken(streams, "p") == [b"\xc1", batch(1)]


async def test_a_stream_and_its_taken_form_lie_in_one_slot_of_a_cluster() -> None:
    assert stream_key("p") == "bandit:spool:{p}"
    assert taken_key("p").startswith(stream_key("p"))


async def test_a_store_that_is_away_says_so() -> None:
    streams = Streams("redis://127.0.0.1:1", timeout=0.2)
    with pytest.raises(SpoolUnavailableError):
        await streams.append("p", batch(1))
    await streams.close()
