"""Several processes on one Redis and one Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failures.crowd import Crowd
from failures.ledger import assert_nothing_lost_or_doubled, assert_same_weights, settled

if TYPE_CHECKING:
    from failures.conftest import StartPlatform


async def test_two_processes_count_every_reward_once(start_platform: StartPlatform, events: int) -> None:
    with start_platform(services=2) as platform:
        name = await platform.create()
        async with Crowd(platform.urls, name).working() as crowd:
            await crowd.until(events)
        await settled(platform, name)
        await assert_nothing_lost_or_doubled(platform, name, crowd.told, at_least=events)
        await assert_same_weights(platform, name)
        print("TOLD", len(crowd.told.decisions), len(crowd.told.rewards), crowd.told.unrecorded, crowd.told.unavailable, crowd.longest_silence)
