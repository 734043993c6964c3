"""Callers that ask again once they are answered share one group, and nobody waits for callers that do not."""

from __future__ import annotations

import asyncio

from bandit_service.spool.gathering import Gathering

GROUP_SECONDS = 0.02


class Handler:
    """Handles groups, each of which takes a while, and notes their sizes."""

    def __init__(self, most: int = 100) -> None:
        self.waiting = Gathering[asyncio.Future[None]](most, longest=GROUP_SECONDS)
        self.sizes: list[int] = []

    async def ask(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waiting.add(future)
        await future

    async def run(self) -> None:
        while True:
            await self.waiting.gathered()
            group = [self.waiting.pop() for _ in range(len(self.waiting))]
            with self.waiting.handled(len(group)):
                await asyncio.sleep(GROUP_SECONDS)
                for future in group:
                    future.set_result(None)
            self.sizes.append(len(group))


async def again_and_again(handler: Handler, times: int, after: float) -> None:
    await asyncio.sleep(after)
    for _ in range(times):
        await handler.ask()


async def test_callers_that_ask_again_share_one_group() -> None:
    handler = Handler()
    running = asyncio.create_task(handler.run())
    late = GROUP_SECONDS / 2
    callers = [again_and_again(handler, 6, late * (number % 2)) for number in range(20)]
    await asyncio.gather(*callers)
    running.cancel()
    assert handler.sizes[:2] == [10, 20]
    assert handler.sizes.count(20) >= 4


async def test_who_asks_alone_waits_for_nobody() -> None:
    handler = Handler()
    running = asyncio.create_task(handler.run())
    await asyncio.gather(*[handler.ask() for _ in range(5)])
    # Five are expected again, for as long as their group took and not longer.
    await asyncio.sleep(2 * GROUP_SECONDS)
    handler.waiting.add(asyncio.get_running_loop().create_future())
    await asyncio.wait_for(handler.waiting.gathered(), 0.001)
    running.cancel()


async def test_whoever_waits_goes_on_when_it_is_closed() -> None:
    waiting = Gathering[int](10, longest=GROUP_SECONDS)
    with waiting.handled(5):
        await asyncio.sleep(GROUP_SECONDS)
    for _ in range(2):
        gathered = asyncio.create_task(waiting.gathered())
        await asyncio.sleep(0)
        waiting.close()
        await asyncio.wait_for(gathered, 1.0)
    assert len(waiting) == 0
