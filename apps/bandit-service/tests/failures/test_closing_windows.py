"""With missing rewards as zero, an acknowledged reward counts even if Redis forgets it before its window closes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from .crowd import Crowd
from .ledger import assert_nothing_lost_or_doubled, settled
from .platform import Platform

if TYPE_CHECKING:
    from .conftest import Report

WINDOW = 5.0


@pytest.mark.parametrize("k", [1, pytest.param(2, marks=pytest.mark.verify)])
async def test_redis_is_emptied_while_windows_are_open(platform: Platform, report: Report, k: int) -> None:
    name = await platform.create(missing_reward="zero", reward_window=WINDOW)
    async with Crowd(platform.urls, name, rewarding=0.5, may_be_late=True, k=k).working() as crowd:
        await crowd.until(300)
        with platform.writers_held_back():
            await crowd.until(500)
            await asyncio.to_thread(platform.empty_redis)
        await crowd.recovered(time.monotonic())
        await crowd.until(700)
    closed = await _all_closed(platform, name)
    await settled(platform, name)
    told = crowd.told
    events = assert_nothing_lost_or_doubled(platform, name, told)
    never_shown = {event.place for event in events if event.kind == "activation" and event.filled}
    decided = {event.place for event in events if event.kind == "decision"}
    rewarded = {event.place: event for event in events if event.kind == "reward"}
    assert decided - never_shown <= rewarded.keys()
    assert {event.micro for event in rewarded.values() if event.filled} <= {0}
    outcomes = {event.place for event in events if event.kind == "outcome"}
    assert {place for place in outcomes if not place[0].startswith("direct/")} == decided - never_shown
    report(f"{told.acknowledged} acknowledged, {told.late} late, every window closed {closed:.1f} s after the end")


async def _all_closed(platform: Platform, name: str) -> float:
    started = time.monotonic()
    while platform.rows("SELECT FROM open_buckets WHERE experiment_id = %s", name):
        assert time.monotonic() < started + 40.0, platform.rows("TABLE producers")
        await asyncio.sleep(0.1)
    return time.monotonic() - started
