"""Requests that wait at the same time share a round trip, and everyone gets an answer, whatever the store does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from bandit_service.events.committer import Committer, Limits, QueueFullError
from bandit_service.events.lane import Lane
from bandit_service.events.operations import UNRECORDED
from bandit_service.redis_store.clock import StoreClock
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.store import RedisStore

from ..failures.proxy import SlowProxy  # type: ignore[import-not-found]  # noqa: TID252 (no installed package)
from .rig import ID, decide, reward, until

TIMEOUT = 0.3
_PRIORS = {0: (1_000_000, 1_000_000)}


class Running:
    """A committer that runs, on a store that needs no Postgres to be agreed with."""

    def __init__(self, url: str, store: RedisStore, limits: Limits) -> None:
        self.doubted: list[str] = []
        self.connection = PipelinedConnection(url, timeout=TIMEOUT, scripts=("commit",))
        self.committer = Committer(
            self.connection,
            producer="process-1",
            clock=StoreClock(time.time),
            limits=limits,
            on_reply=lambda *_: None,
            on_doubt=lambda lane: self.doubted.append(lane.experiment_id),
        )
        self.store = store
        self.lane: Lane = self.committer.lane(ID, 3_600.0)
        self.lane.epoch = 1

    async def seqs(self) -> list[int]:
        return [seq for seq, _ in await self.store.events(ID, 1, 0, 10_000)]


@pytest.fixture
async def prepared(store: RedisStore) -> RedisStore:
    """A store that is ready for the experiment."""
    await store.define(ID, 1, b"{}", _PRIORS)
    await store.refill_begin(ID, 1)
    await store.refill_end(ID, 1, {"seq": 0, "committed": 0})
    return store


@asynccontextmanager
async def running(url: str, store: RedisStore, limits: Limits | None = None) -> AsyncIterator[Running]:
    running = Running(url, store, limits or Limits())
    task = asyncio.create_task(running.committer.run())
    await until(lambda: running.connection.generation > 0)
    running.doubted.clear()
    yield running
    running.committer.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await running.connection.close()


async def test_operations_that_wait_together_share_a_round_trip(redis_url: str, prepared: RedisStore) -> None:
    async with running(redis_url, prepared) as process:
        before = await _calls(prepared, "evalsha")
        waiting = [process.committer.submit(process.lane, decide(str(number))) for number in range(200)]
        assert await asyncio.gather(*waiting) == list(range(1, 201))
        assert await _calls(prepared, "evalsha") == before + 1


async def test_a_batch_is_bounded(redis_url: str, prepared: RedisStore) -> None:
    async with running(redis_url, prepared, Limits(batch=10)) as process:
        before = await _calls(prepared, "evalsha")
        await asyncio.gather(*[process.committer.submit(process.lane, decide(str(number))) for number in range(95)])
        assert await _calls(prepared, "evalsha") == before + 10


async def test_past_its_bound_nothing_is_taken(redis_url: str, prepared: RedisStore) -> None:
    async with running(redis_url, prepared, Limits(waiting=5)) as process:
        waiting = [process.committer.submit(process.lane, decide(str(number))) for number in range(5)]
        with pytest.raises(QueueFullError):
            process.committer.submit(process.lane, decide("one too many"))
        await asyncio.gather(*waiting)
        assert await process.committer.submit(process.lane, decide("later")) == 6


async def test_an_answer_that_was_lost_on_its_way_is_had_once(redis_url: str, prepared: RedisStore) -> None:
    """The batch arrives twice: late over the connection that was given up, and again over the next one."""
    async with _proxied(redis_url) as (proxy, url), running(url, prepared) as process:
        proxy.delay = 0.6 * TIMEOUT
        given_up = [process.committer.submit(process.lane, operation) for operation in (decide("a"), reward("a"))]
        assert await asyncio.gather(*given_up) == [UNRECORDED, UNRECORDED]
        proxy.delay = 0.0
        await until(lambda: process.committer.available and process.lane.is_empty)
        assert await process.committer.submit(process.lane, decide("b")) == 3
        await asyncio.sleep(TIMEOUT)
        assert await process.seqs() == [1, 2, 3]
        assert (await prepared.beliefs(ID, 1)).alpha_micro == (2_000_000,)


async def test_in_an_outage_decisions_wait_and_rewards_are_given_back(redis_url: str, prepared: RedisStore) -> None:
    async with _proxied(redis_url) as (proxy, url), running(url, prepared) as process:
        proxy.delay = 2 * TIMEOUT
        assert await process.committer.submit(process.lane, decide("first")) == UNRECORDED
        assert not process.committer.available
        started = time.monotonic()
        waiting = [process.committer.submit(process.lane, operation) for operation in (decide("a"), reward("a"))]
        assert await asyncio.gather(*waiting) == [UNRECORDED, UNRECORDED]
        assert time.monotonic() - started < 0.1
        proxy.delay = 0.0
        await until(lambda: process.lane.is_empty)
        entries = await prepared.events(ID, 1, 0, 10)
        assert [fields["k"] for _, fields in entries] == ["decision", "decision"]


async def test_a_connection_that_broke_to_a_store_that_did_not_is_no_reason_for_doubt(
    redis_url: str, prepared: RedisStore
) -> None:
    async with running(redis_url, prepared) as process:
        await process.committer.submit(process.lane, decide("a"))
        await _cut(prepared)
        assert await process.committer.submit(process.lane, decide("b")) in (2, UNRECORDED)
        await until(lambda: process.committer.available and process.lane.is_empty)
        assert process.doubted == []
        assert await process.seqs() == [1, 2]


async def test_nothing_is_committed_on_a_store_that_was_restarted_before_every_lane_was_doubted(
    redis_url: str, prepared: RedisStore
) -> None:
    async with running(redis_url, prepared) as process:
        process.committer._on_doubt = lambda lane: _settle_later(process, lane)
        process.connection._identity = ("before the restart",)
        await _cut(prepared)
        assert await process.committer.submit(process.lane, decide("a")) == UNRECORDED
        await until(lambda: process.doubted == [ID])
        await asyncio.sleep(0.1)
        assert await process.seqs() == []
        process.lane.settling = False
        process.committer.wake()
        await until(lambda: process.lane.is_empty)
        assert await process.seqs() == [1]


async def test_a_broken_connection_is_noticed_even_when_there_is_nothing_to_commit(
    redis_url: str, prepared: RedisStore
) -> None:
    async with running(redis_url, prepared) as process:
        process.connection._identity = ("before the restart",)
        await _cut(prepared)
        await until(lambda: process.doubted == [ID])


async def test_who_answers_is_the_store_that_is_known_if_its_connection_outlived_the_answer(
    redis_url: str, prepared: RedisStore
) -> None:
    async with running(redis_url, prepared) as process:
        assert await process.committer.is_the_same_store()
        await _cut(prepared)
        assert not await process.committer.is_the_same_store()
        await until(lambda: process.committer.available)
        assert await process.committer.is_the_same_store()
    assert not await process.committer.is_the_same_store()


async def test_what_postgres_has_is_released_even_when_there_is_nothing_to_commit(
    redis_url: str, prepared: RedisStore
) -> None:
    async with running(redis_url, prepared) as process:
        await process.committer.submit(process.lane, decide("a"))
        assert len(process.lane.retained) == 1
        await prepared.client.hset(process.lane.keys.state, "committed", "1")
        await until(lambda: not process.lane.retained)


async def test_scripts_that_were_forgotten_are_taught_again(redis_url: str, prepared: RedisStore) -> None:
    async with running(redis_url, prepared) as process:
        await prepared.client.script_flush()
        assert await process.committer.submit(process.lane, decide("a")) == 1


async def test_a_full_store_is_waited_out(redis_url: str, prepared: RedisStore) -> None:
    async with running(redis_url, prepared) as process:
        await prepared.client.config_set("maxmemory", 1)
        try:
            waiting = [process.committer.submit(process.lane, operation) for operation in (decide("a"), reward("a"))]
            assert await asyncio.gather(*waiting) == [UNRECORDED, UNRECORDED]
            await until(lambda: process.committer.full)
        finally:
            await prepared.client.config_set("maxmemory", 0)
        await until(lambda: process.lane.is_empty and not process.committer.full)
        assert await process.seqs() == [1, 2]


@pytest.mark.parametrize("epoch", [None, 2])
async def test_a_store_that_is_not_ready_or_in_another_epoch_is_doubted(
    redis_url: str, prepared: RedisStore, epoch: int | None
) -> None:
    async with running(redis_url, prepared) as process:
        process.committer._on_doubt = lambda lane: _settle_later(process, lane)
        if epoch is None:
            await prepared.client.hdel(process.lane.keys.state, "epoch")
        else:
            await prepared.client.hset(process.lane.keys.state, "epoch", epoch)
        assert await process.committer.submit(process.lane, reward("a")) == UNRECORDED
        assert process.doubted == [ID]
        assert not process.lane.is_empty


async def test_closing_commits_what_waits(redis_url: str, prepared: RedisStore) -> None:
    process = Running(redis_url, prepared, Limits())
    waiting = [process.committer.submit(process.lane, decide(str(number))) for number in range(3)]
    process.committer.close()
    await process.committer.run()
    assert await asyncio.gather(*waiting) == [1, 2, 3]
    await process.connection.close()


async def test_closing_does_not_wait_for_a_store_that_is_away(store: RedisStore) -> None:
    process = Running("redis://127.0.0.1:1", store, Limits())
    process.committer.submit(process.lane, decide("a"))
    process.committer.close()
    async with asyncio.timeout(2.0):
        await process.committer.run()
    assert process.committer.waiting == 1


def _settle_later(process: Running, lane: Lane) -> None:
    lane.settling = True
    process.doubted.append(lane.experiment_id)


async def _cut(store: RedisStore) -> None:
    """Have the store hang up on everybody else."""
    await store.client.client_kill_filter(_type="normal", skipme=True)


async def _calls(store: RedisStore, command: str) -> int:
    calls = await store.client.info("commandstats")
    return int(calls.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@asynccontextmanager
async def _proxied(url: str) -> AsyncIterator[tuple[SlowProxy, str]]:
    port = Redis.from_url(url).connection_pool.connection_kwargs["port"]
    async with SlowProxy(port).running() as proxy:
        yield proxy, url.replace(f":{port}/", f":{proxy.port}/")
