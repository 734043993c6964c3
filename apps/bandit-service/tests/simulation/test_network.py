"""The network: what happens to messages, and in the middle of them."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from .link import ConnectionLostError
from .loop import SimulatedLoop
from .network import NetworkLink, Strike


def test_a_process_is_struck_in_the_middle_of_its_work() -> None:
    loop, link, struck = SimulatedLoop(Random(1)), NetworkLink(Random(1), longest=2.0), list[int]()
    sent = 0

    async def work() -> None:
        nonlocal sent
        link.strike = Strike(3, lambda: struck.append(sent))
        for _ in range(5):
            await link.request()
            sent += 1

    loop.run_until_complete(work())
    assert (sent, struck) == (5, [2])


def test_one_message_is_lost_and_another_one_is_late() -> None:
    loop, link, lost = SimulatedLoop(Random(1)), NetworkLink(Random(1), longest=2.0), list[int]()

    async def work() -> None:
        for number in range(4):
            if number == 1:
                link.break_once()
            try:
                await link.reply()
            except ConnectionLostError:
                lost.append(number)
        link.stall_once(10.0)
        await link.reply()
        assert loop.time() < 3.0
        await link.reply(commits=True)

    loop.run_until_complete(work())
    assert lost == [1]
    assert 10.0 <= loop.time() < 13.0


def test_who_is_cut_off_waits_until_patience_ends() -> None:
    loop, link = SimulatedLoop(Random(1)), NetworkLink(Random(1), longest=2.0)
    link.is_cut = True

    async def work() -> None:
        with pytest.raises(ConnectionLostError):
            await link.request()

    loop.run_until_complete(asyncio.wait_for(work(), 5.0))
    assert 2.0 <= loop.time() < 3.0
