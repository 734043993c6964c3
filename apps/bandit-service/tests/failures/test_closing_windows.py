"""With missing rewards as zero, an acknowledged reward is believed even if Redis forgets it before the close."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from .crowd import Crowd
from .ledger import in_postgres, in_redis, settled
from .platform import Platform

if TYPE_CHECKING:
    from .conftest import Report

WINDOW = 4.0


@pytest.mark.parametrize("k", [1, pytest.param(2, marks=pytest.mark.verify)])
async def test_redis_is_emptied_while_windows_are_open(platform: Platform, report: Report, k: int) -> None:
    name = await platform.create(missing_reward="zero", reward_window=WINDOW)
    async with Crowd(platform.urls, name, rewarding=0.5, deferring=0.0, may_be_late=True, k=k).working() as crowd:
        await crowd.until(500)
        with platform.writers_held_back():
            await crowd.until(1_000)
            await asyncio.to_thread(platform.empty_redis)
        await crowd.recovered(time.monotonic())
        await crowd.until(1_500)
    closed = await _all_closed(platform, name)
    await settled(platform, name)
    told = crowd.told
    assert not told.wrong, told.wrong[:5]
    assert in_redis(platform, name) == in_postgres(platform, name)
    rows = platform.rows(
        "SELECT decision_id, position, reward_micro FROM bandit_events WHERE experiment_id = %s AND kind = 'close'",
        name,
    )
    closes = {(decision_id, position): micro for decision_id, position, micro in rows}
    assert len(closes) == len(rows)
    expected = {place: told.rewards.get(place, (0, 0))[1] for place in closes}
    assert closes == expected
    assert told.decisions.keys() <= closes.keys()
    report(f"{told.acknowledged} acknowledged, {told.late} late, every window closed {closed:.1f} s after the end")


async def _all_closed(platform: Platform, name: str) -> float:
    started = time.monotonic()
    with platform.store() as client:
        while client.zcard(f"experiment:{{{name}}}:pending"):
            assert time.monotonic() < started + 30.0
            await asyncio.sleep(0.05)
    return time.monotonic() - started
