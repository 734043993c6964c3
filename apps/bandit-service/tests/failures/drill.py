"""One failure under load, from beginning to end: the same for every kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from failures.crowd import Crowd
from failures.ledger import assert_nothing_lost_or_doubled, assert_same_weights, settled
from failures.platform import Platform

type Break = Callable[[Platform, Crowd], Awaitable[None] | None]


async def survives(platform: Platform, events: int, failure: Break, report: Callable[[str], None]) -> Crowd:
    """Break something at a third of the events, go on until all are acknowledged, and compare."""
    name = await platform.create()
    async with Crowd(platform.urls, name).working() as crowd:
        await crowd.until(events // 3)
        broken_at = time.monotonic()
        result = await asyncio.to_thread(failure, platform, crowd)
        if result is not None:
            await result
        mended_at = time.monotonic()
        recovered = await crowd.recovered(mended_at)
        await crowd.until(events)
    drained = await settled(platform, name)
    await assert_nothing_lost_or_doubled(platform, name, crowd.told, at_least=events)
    await assert_same_weights(platform, name)
    report(_line(crowd, mended_at - broken_at, recovered, drained))
    return crowd


def _line(crowd: Crowd, broken: float, recovered: float, drained: float) -> str:
    told = crowd.told
    facts: dict[str, Any] = {
        "acknowledged": told.acknowledged,
        "broken for": f"{broken:.1f} s",
        "recording again after": f"{recovered:.2f} s",
        "longest without a selection": f"{crowd.longest_silence:.2f} s",
        "unrecorded": told.unrecorded,
        "503": told.unavailable,
        "all in Postgres after": f"{drained:.1f} s",
    }
    return ", ".join(f"{name} {value}" for name, value in facts.items())
