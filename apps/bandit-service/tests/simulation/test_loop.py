"""The loop on virtual time."""

from __future__ import annotations

import asyncio
from contextvars import Context
from random import Random

import pytest

from .loop import OWNER, EndlessError, Owner, SimulatedLoop


def owner_of(loop: SimulatedLoop, name: str) -> tuple[Owner, Context]:
    owner, context = Owner(name), Context()
    context.run(OWNER.set, owner)
    loop.owners.append(owner)
    return owner, context


def order_of(seed: int) -> list[str]:
    """Run three processes that take ten steps each, and return whose steps came when."""
    loop, steps = SimulatedLoop(Random(seed)), list[str]()

    async def walk(name: str) -> None:
        for number in range(10):
            steps.append(f"{name}{number}")
            await asyncio.sleep(0)

    async def main() -> None:
        tasks = [loop.create_task(walk(name), context=owner_of(loop, name)[1]) for name in "abc"]
        await asyncio.wait(tasks)

    loop.run_until_complete(main())
    return steps


def test_an_hour_takes_no_time() -> None:
    loop = SimulatedLoop(Random(1))
    loop.run_until_complete(asyncio.sleep(3_600))
    assert 3_600 <= loop.time() < 3_601


def test_the_seed_decides_the_order() -> None:
    assert order_of(1) == order_of(1)
    assert len({tuple(order_of(seed)) for seed in range(10)}) == 10


def test_one_process_goes_in_its_order() -> None:
    steps = [step for step in order_of(2) if step.startswith("b")]
    assert steps == sorted(steps)


def test_what_is_frozen_goes_on_later_and_its_clock_runs() -> None:
    loop, times = SimulatedLoop(Random(1)), list[float]()
    owner, context = owner_of(loop, "a")

    async def work() -> None:
        for _ in range(2):
            await asyncio.sleep(1.0)
            times.append(loop.time())

    async def main() -> None:
        task = loop.create_task(work(), context=context)
        await asyncio.sleep(0.5)
        owner.is_frozen = True
        await asyncio.sleep(10.0)
        owner.is_frozen = False
        await asyncio.wait([task])

    loop.run_until_complete(main())
    assert [round(time, 1) for time in times] == [10.5, 11.5]


def test_what_is_killed_cleans_nothing_up() -> None:
    loop, done = SimulatedLoop(Random(1)), list[str]()
    owner, context = owner_of(loop, "a")

    async def work() -> None:
        try:
            await asyncio.sleep(1.0)
        finally:
            done.append("cleaned up")

    async def main() -> None:
        loop.create_task(work(), context=context)
        await asyncio.sleep(0.5)
        loop.kill(owner)
        await asyncio.sleep(10.0)
        assert done == []

    loop.run_until_complete(main())
    loop.end()
    assert done == ["cleaned up"]


def test_threads_timeouts_and_groups_work() -> None:
    loop = SimulatedLoop(Random(1))

    async def main() -> int:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5.0)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(asyncio.to_thread(lambda: 1))
            second = tasks.create_task(asyncio.sleep(2.0, 2))
        return first.result() + second.result()

    assert loop.run_until_complete(main()) == 3
    assert loop.failures == []


def test_who_waits_for_ever_is_found() -> None:
    loop = SimulatedLoop(Random(1))

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(EndlessError):
        loop.run_until_complete(main())
    loop.end()
