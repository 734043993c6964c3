"""Messages reach every process, also after the connection was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from bandit_service.mirror.keys import CHANGED
from bandit_service.mirror.subscription import Announcer, Subscription

NAMES = ("one", "two")


class Ear:
    """What a process heard."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.touched: list[str] = []

    async def on_changed(self, names: list[str]) -> None:
        if "bad" in names:
            raise KeyError("bad")
        self.changed += names

    def on_touched(self, names: list[str]) -> None:
        self.touched += names


async def until(holds: Callable[[], bool], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.02)


@pytest.fixture
async def ears(redis_url: str) -> AsyncIterator[list[Ear]]:
    """Two processes that listen."""
    subscriptions = [Subscription(redis_url, timeout=0.5, own=name) for name in NAMES]
    heard = [Ear() for _ in subscriptions]
    tasks = [
        asyncio.create_task(subscription.run(ear.on_changed, ear.on_touched))
        for subscription, ear in zip(subscriptions, heard, strict=True)
    ]
    await until(lambda: all(subscription.is_listening for subscription in subscriptions))
    yield heard
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for subscription in subscriptions:
        await subscription.close()


async def test_every_process_hears_of_what_changed_and_of_what_was_touched(
    ears: list[Ear], redis_client: Redis
) -> None:
    announcer = Announcer(redis_client)
    await announcer.announce_changed(["x", "name.space"])
    await announcer.announce_touched({"y"})
    await announcer.announce_touched([])
    await until(lambda: all(ear.changed == ["x", "name.space"] and ear.touched == ["y"] for ear in ears))


async def test_a_process_passes_over_its_own_messages(ears: list[Ear], redis_client: Redis) -> None:
    for name in NAMES:
        await Announcer(redis_client, name).announce_changed([f"of {name}"])
    await Announcer(redis_client).announce_changed(["last"])
    await until(lambda: [ear.changed for ear in ears] == [["of two", "last"], ["of one", "last"]])


async def test_one_message_that_cannot_be_handled_does_not_end_the_listening(
    ears: list[Ear], redis_client: Redis
) -> None:
    await redis_client.publish(CHANGED, b"{")
    await Announcer(redis_client).announce_changed(["bad"])
    await Announcer(redis_client).announce_changed(["good"])
    await until(lambda: all(ear.changed == ["good"] for ear in ears))


async def test_a_lost_connection_is_made_again(ears: list[Ear], redis_client: Redis) -> None:
    await redis_client.client_kill_filter(_type="pubsub")
    announcer = Announcer(redis_client)

    def heard() -> bool:
        return all(ear.touched for ear in ears)

    deadline = time.monotonic() + 8.0
    while not heard():
        assert time.monotonic() < deadline
        await announcer.announce_touched(["y"])
        await asyncio.sleep(0.1)


async def test_a_quiet_store_is_asked_whether_it_is_there(ears: list[Ear], redis_client: Redis) -> None:
    before = {each["id"] for each in await redis_client.client_list(_type="pubsub")}
    await asyncio.sleep(5.5)
    after = {each["id"] for each in await redis_client.client_list(_type="pubsub")}
    assert before == after
    await Announcer(redis_client).announce_changed(["x"])
    await until(lambda: all(ear.changed == ["x"] for ear in ears))
