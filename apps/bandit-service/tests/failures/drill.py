"""One failure under load, from beginning to end: the same for every kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from .crowd import Crowd
from .ledger import assert_models_are_the_fold, assert_nothing_lost_or_doubled, assert_same_weights, settled
from .platform import Platform

_MOST_COMPLAINTS = 40
_COMPLAINTS_A_SECOND = 2


async def survives(
    platform: Platform,
    events: int,
    failure: Callable[[Platform, Crowd], None],
    report: Callable[[str], None],
    features: int = 0,
    k: int = 1,
    **experiment: Any,
) -> Crowd:
    """Break something at a third of the events, go on until all are acknowledged, and compare.

    `failure` breaks and mends; it runs in a thread of its own, while the clients go on.
    """
    name = await platform.create(**experiment)
    complained = [len(service.complaints()) for service in platform.services]
    async with Crowd(platform.urls, name, features=features, k=k).working() as crowd:
        await crowd.until(events // 3)
        broken_at = time.monotonic()
        await asyncio.to_thread(failure, platform, crowd)
        mended_at = time.monotonic()
        recovered = await crowd.recovered(mended_at)
        await crowd.until(events)
    drained = await settled(platform, name)
    assert_nothing_lost_or_doubled(platform, name, crowd.told, at_least=events, contextual=features > 0)
    if features:
        await assert_models_are_the_fold(platform, name)
    else:
        await assert_same_weights(platform, name)
    told = crowd.told
    complaints = [
        len(service.complaints()) - before for service, before in zip(platform.services, complained, strict=True)
    ]
    assert max(complaints) < _MOST_COMPLAINTS + _COMPLAINTS_A_SECOND * (mended_at - broken_at), "the log is filled"
    report(
        f"{told.acknowledged} acknowledged, {told.queued} of them queued, broken for {mended_at - broken_at:.1f} s, "
        f"recording again {recovered:.2f} s later, {told.unrecorded} unrecorded, {told.unavailable} times 503 "
        f"({told.unclaimed} own ids besides), slowest selection {told.slowest_selection:.2f} s, all settled "
        f"{drained:.1f} s after the end, {max(complaints)} complaints in a log"
    )
    return crowd
