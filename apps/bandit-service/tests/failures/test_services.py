"""A process of the service dies, ends or stands still; the other one goes on, and nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .client import client_of
from .crowd import Crowd
from .drill import survives
from .ledger import assert_nothing_lost_or_doubled, assert_rewards_are_as_told, folded, in_postgres, logged, settled
from .platform import LEASE_SECONDS, Platform, frozen

if TYPE_CHECKING:
    from .conftest import Report


def kill_both_in_turn(platform: Platform, _: Crowd) -> None:
    """Whichever holds the lease and publishes: the other one has to take it over."""
    for service in platform.services:
        service.kill()
        time.sleep(0.5)
        service.start()
        service.wait_until_ready()


def end_both_in_turn(platform: Platform, _: Crowd) -> None:
    for service in platform.services:
        assert service.terminate() == 0
        service.start()
        service.wait_until_ready()


def stand_still_beyond_the_lease(platform: Platform, _: Crowd) -> None:
    """What the process was about to write or publish, it tries to when another one has long taken over."""
    with frozen(platform.services[0].pid):
        time.sleep(LEASE_SECONDS + 2.5)


@pytest.mark.parametrize(
    "failure",
    [kill_both_in_turn, pytest.param(end_both_in_turn, marks=pytest.mark.verify), stand_still_beyond_the_lease],
)
async def test_a_service_is_killed_ended_or_frozen(
    platform: Platform, events: int, failure: Callable[[Platform, Crowd], None], report: Report
) -> None:
    await survives(platform, events, failure, report, update_every=0.05)


async def test_what_a_process_has_queued_when_it_is_killed_is_written_by_another_one(platform: Platform) -> None:
    """Postgres is away, and comes back only when the process is gone."""
    name = await platform.create()
    async with client_of(platform, name) as client:
        decisions = await client.decide(0, 50)
        platform.postgres.kill()
        decisions += await client.decide(0, 50)
        assert await client.reward(0, decisions) == {(202, "queued"): 100}
        platform.services[0].kill()
        await asyncio.to_thread(platform.postgres.start)
        await asyncio.to_thread(platform.mend)
        await settled(platform, name)
        assert_nothing_lost_or_doubled(platform, name, client.told)
    assert len(client.told.decisions) == 100


async def test_what_a_process_acknowledged_is_in_postgres_once_it_has_ended(platform: Platform) -> None:
    name = await platform.create()
    async with Crowd(platform.urls, name).working() as crowd:
        await crowd.until(500)
    codes = await asyncio.gather(*(asyncio.to_thread(service.terminate) for service in platform.services))
    assert codes == [0, 0]
    events = logged(platform, name)
    assert crowd.told.decisions.keys() <= {event.place for event in events if event.kind == "decision"}
    assert_rewards_are_as_told(events, crowd.told)


async def test_the_double_failure_costs_at_most_what_postgres_had_not_been_given(
    platform: Platform, report: Report
) -> None:
    """Redis emptied, and with it every process killed that still kept what it had acknowledged."""
    name = await platform.create()
    async with Crowd(platform.urls, name).working() as crowd:
        await crowd.until(600)
        died_at = time.monotonic()
        for service in platform.services:
            service.kill()
        platform.empty_redis()
        crowd.give_up()
    platform.mend()
    await settled(platform, name)
    events = logged(platform, name)
    kept = {event.place for event in events if event.kind == "decision"}
    lost = [place for place in crowd.told.decisions if place not in kept]
    ages = [died_at - crowd.told.decided_at[place] for place in lost]
    report(f"{len(lost)} of {len(crowd.told.decisions)} decisions lost, of the last {max(ages, default=0.0):.2f} s")
    assert max(ages, default=0.0) < 1.0
    # A reward that was decided was in the ledger before it was answered.
    decided = {
        place for place, answers in crowd.told.rewards.items() if any(status != "queued" for status, _ in answers)
    }
    assert decided <= {event.place for event in events if event.kind == "reward"}
    assert in_postgres(platform, name) == folded(events)
