"""A link of one process to a store is slow, silent, half open or cut: it answers on, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .client import client_of
from .crowd import Crowd
from .drill import survives
from .ledger import assert_nothing_lost_or_doubled, settled
from .platform import Platform, frozen
from .proxy import Proxy
from .test_contexts import LINEAR

if TYPE_CHECKING:
    from .conftest import Report

MANY = 20


def is_slow(delay: float, seconds: float) -> Callable[[Platform, Crowd], None]:
    def failure(platform: Platform, _: Crowd) -> None:
        platform.proxies[0].delay = delay
        time.sleep(seconds)
        platform.proxies[0].delay = 0.0

    return failure


def is_slow_once(platform: Platform, crowd: Crowd) -> None:
    """One call, and those beside it, take longer than the service waits for Redis: no client may hear of that."""
    before = crowd.told.unavailable
    platform.proxies[0].answers = False
    time.sleep(0.7)
    platform.proxies[0].answers = True
    time.sleep(1.0)
    assert crowd.told.unavailable == before


def is_silent_and_then_cut(platform: Platform, _: Crowd) -> None:
    """What the process sends arrives, and what it is answered does not."""
    platform.proxies[0].answers = False
    time.sleep(1.5)
    platform.proxies[0].answers = True
    platform.proxies[0].cut()


def drops_to_redis(platform: Platform, _: Crowd) -> None:
    """Packets are dropped for a while: nothing arrives, nothing is answered, and nobody hangs up."""
    _drop(platform.proxies[0])


def drops_to_postgres(platform: Platform, _: Crowd) -> None:
    _drop(platform.postgres_proxies[0])


def drops_to_both_in_turn(platform: Platform, _: Crowd) -> None:
    for proxy in (platform.proxies[0], platform.postgres_proxies[0]):
        _drop(proxy)


def loses_answers_of_postgres(platform: Platform, _: Crowd) -> None:
    """Postgres commits what it is sent; the process hears of none of it."""
    platform.postgres_proxies[0].answers = False
    time.sleep(3.0)
    platform.postgres_proxies[0].drop()
    platform.postgres_proxies[0].answers = True


def _drop(proxy: Proxy) -> None:
    proxy.takes = proxy.answers = False
    time.sleep(4.0)
    # The connections of before stay dead, as those that a firewall has forgotten.
    proxy.drop()
    proxy.takes = proxy.answers = True


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(is_slow(0.1, 3.0), id="200 ms"),
        pytest.param(is_slow(0.4, 4.0), id="800 ms", marks=pytest.mark.verify),
        is_slow_once,
        pytest.param(is_silent_and_then_cut, marks=pytest.mark.verify),
        pytest.param(drops_to_redis, marks=pytest.mark.verify),
        pytest.param(drops_to_postgres, marks=pytest.mark.verify),
        pytest.param(drops_to_both_in_turn, marks=pytest.mark.verify),
        pytest.param(loses_answers_of_postgres, marks=pytest.mark.verify),
    ],
)
async def test_the_link_of_one_process_is_disturbed(
    platform: Platform, events: int, failure: Callable[[Platform, Crowd], None], report: Report
) -> None:
    crowd = await survives(platform, events, failure, report)
    assert crowd.told.slowest_selection < 2.0


async def test_a_reward_of_which_redis_has_told_nobody_is_a_duplicate_elsewhere_and_outlives_redis(
    platform: Platform,
) -> None:
    name = await platform.create()
    async with client_of(platform, name) as client:
        decisions = await client.decide(1, MANY)
        platform.proxies[0].answers = False
        decisions += await client.decide(0, MANY)
        assert await client.reward(0, decisions) == {(200, "applied"): 2 * MANY}
        assert await client.reward(1, decisions, 0.5) == {(200, "duplicate"): 2 * MANY}
        await asyncio.to_thread(platform.empty_redis)
        platform.proxies[0].answers = True
        platform.proxies[0].cut()
        await settled(platform, name)
        assert await client.reward(1, decisions, 0.5) == {(200, "duplicate"): 2 * MANY}
        assert_nothing_lost_or_doubled(platform, name, client.told)


@pytest.mark.parametrize("kind", ["plain", "contextual"])
async def test_a_decision_that_one_process_could_not_record_is_rewarded_through_another(
    platform: Platform, kind: str
) -> None:
    """Neither store answers the process that decides; the other one knows the decision by its signature alone."""
    contextual = kind == "contextual"
    name = await platform.create(**(LINEAR if contextual else {}))
    fields = {"context": [0.1, 0.2, 0.3]} if contextual else {}
    async with client_of(platform, name) as client:
        with frozen(platform.postgres.pid):
            platform.proxies[0].takes = False
            await asyncio.sleep(3.0)
            decisions = await client.decide(0, 2 * MANY, **fields)
            assert not any(decision["recorded"] for decision in decisions)
            assert await client.reward(1, decisions[:MANY]) == {(202, "queued"): MANY}
        await _until_degraded(platform, 1, [])
        assert await client.reward(1, decisions[MANY:]) == {(200, "applied"): MANY}
        platform.proxies[0].takes = True
        await settled(platform, name)
        events = assert_nothing_lost_or_doubled(platform, name, client.told, contextual=contextual)
    # The process that decided has kept its decisions, although it promised nothing.
    assert sum(event.kind == "decision" for event in events) == 2 * MANY


async def test_queued_rewards_outlive_an_emptied_redis_and_a_cut_link_right_after_it(platform: Platform) -> None:
    name = await platform.create()
    async with client_of(platform, name) as client:
        decisions = await client.decide(0, 100)
        await settled(platform, name)
        with platform.writers_held_back():
            assert await client.reward(0, decisions) == {(202, "queued"): 100}
            with platform.store() as store:
                store.flushall()
        for _ in range(3):
            platform.proxies[0].cut()
            await asyncio.sleep(0.3)
        await settled(platform, name)
        assert_nothing_lost_or_doubled(platform, name, client.told)


async def _until_degraded(platform: Platform, service: int, parts: list[str]) -> None:
    async with asyncio.timeout(30.0):
        while await asyncio.to_thread(platform.services[service].degraded) != parts:
            await asyncio.sleep(0.05)
