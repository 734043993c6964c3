"""Redis dies, forgets, is slow or stands still; nothing that was acknowledged is lost or counted twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .crowd import Crowd
from .drill import survives
from .platform import Platform, frozen

if TYPE_CHECKING:
    from .conftest import Report


def crash(platform: Platform, _: Crowd) -> None:
    platform.crash_redis()


def forget_everything(platform: Platform, crowd: Crowd) -> None:
    """Empty Redis while some hundred events, decisions and queued rewards among them, are not in Postgres."""
    with platform.writers_held_back():
        _wait_for_more(crowd, 300)
        platform.empty_redis()


def forget_what_postgres_lacks(platform: Platform, crowd: Crowd) -> None:
    """Put Redis back by some hundred events, all of which are not in Postgres."""
    with platform.writers_held_back():
        size = platform.append_only_file.stat().st_size
        _wait_for_more(crowd, 300)
        platform.age_redis(size)


def forget_what_postgres_has(platform: Platform, crowd: Crowd) -> None:
    """Put Redis back by some hundred events, of which Postgres has most."""
    size = platform.append_only_file.stat().st_size
    _wait_for_more(crowd, 300)
    time.sleep(0.5)
    platform.age_redis(size)


def forget_everything_twice(platform: Platform, _: Crowd) -> None:
    """Empty Redis, and again while everybody is writing what it lacks."""
    with platform.store() as client:
        client.flushall()
        time.sleep(0.3)
        client.flushall()


def stand_still_and_forget_everything(platform: Platform, _: Crowd) -> None:
    """What it was given last it may have taken, without anybody hearing of it."""
    with frozen(platform.redis.pid):
        time.sleep(1.5)
    platform.empty_redis()


def forget_the_scripts(platform: Platform, _: Crowd) -> None:
    with platform.store() as client:
        client.script_flush()


def stand_still(platform: Platform, _: Crowd) -> None:
    with frozen(platform.redis.pid):
        time.sleep(3.0)


@pytest.mark.parametrize("appendfsync", ["always", pytest.param("everysec", marks=pytest.mark.verify)])
async def test_redis_is_killed_and_reads_its_append_only_file(
    platform: Platform, events: int, appendfsync: str, report: Report
) -> None:
    platform.configure_redis(appendfsync=appendfsync)
    await survives(platform, events, crash, report)


@pytest.mark.parametrize(
    "failure",
    [
        forget_everything,
        forget_everything_twice,
        forget_what_postgres_lacks,
        pytest.param(forget_what_postgres_has, marks=pytest.mark.verify),
        pytest.param(forget_the_scripts, marks=pytest.mark.verify),
        stand_still_and_forget_everything,
        pytest.param(stand_still, marks=pytest.mark.verify),
    ],
)
async def test_redis_comes_back_with_less_or_stands_still(
    platform: Platform, events: int, failure: Callable[[Platform, Crowd], None], report: Report
) -> None:
    crowd = await survives(platform, events, failure, report)
    assert crowd.told.slowest_selection < 3.0


def _wait_for_more(crowd: Crowd, events: int) -> None:
    before, deadline = crowd.told.acknowledged, time.monotonic() + 30.0
    while crowd.told.acknowledged < before + events:
        assert time.monotonic() < deadline
        time.sleep(0.01)
