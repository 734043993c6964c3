"""A Redis that answers late: below the timeout everything is recorded, beyond it selection goes on without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .crowd import Crowd
from .drill import survives
from .platform import Platform, Service
from .proxy import SlowProxy

if TYPE_CHECKING:
    from .conftest import Report


@pytest.fixture
async def proxy(platform: Platform) -> AsyncIterator[SlowProxy]:
    async with SlowProxy(platform.redis.port).running() as proxy:
        yield proxy


@pytest.fixture
async def slow_platform(platform: Platform, proxy: SlowProxy, tmp_path: Path) -> AsyncIterator[Platform]:
    """The platform, and a third process that reaches Redis through the proxy."""
    environment = dict(platform.services[0].environment)
    address = f":{platform.redis.port}/"
    environment["BANDIT_REDIS_URL"] = environment["BANDIT_REDIS_URL"].replace(address, f":{proxy.port}/")
    service = Service(tmp_path / "service.log", environment)
    await asyncio.to_thread(service.start)
    await asyncio.to_thread(service.wait_until_ready)
    yield Platform(platform.redis, platform.postgres, platform.dsn, [service, platform.services[0]])
    await asyncio.to_thread(service.kill)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [pytest.param(0.1, 3.0, id="200 ms"), pytest.param(0.4, 4.0, id="800 ms", marks=pytest.mark.verify)],
)
async def test_redis_is_slow_for_one_process(
    slow_platform: Platform, proxy: SlowProxy, events: int, delay: float, seconds: float, report: Report
) -> None:
    def failure(_: Platform, __: Crowd) -> None:
        proxy.delay = delay
        time.sleep(seconds)
        proxy.delay = 0.0

    crowd = await survives(slow_platform, events, failure, report)
    assert crowd.told.slowest_selection < 2.0
