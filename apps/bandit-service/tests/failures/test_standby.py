"""A synchronous standby of Postgres is missing, comes back or is promoted: what commits wait for, nobody else does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandit_local.servers import RedisServer
from bandit_local.testing.standby import Standby

from .crowd import Crowd
from .drill import survives
from .platform import Platform, running_platform
from .standby import running_pair, wait_for_standby

if TYPE_CHECKING:
    from .conftest import Report

# Longer than a process keeps what a commit has confirmed.
LONG = 75.0


class Pair:
    """A platform of its own on a primary, and the primary's standby, which commits wait for."""

    def __init__(self, platform: Platform, standby: Standby) -> None:
        self.platform, self.standby = platform, standby

    def promote(self) -> None:
        """Kill the primary, promote the standby, and lead everybody to it."""
        self.platform.postgres.kill()
        self.standby.promote()
        self.platform.dsn = self.standby.dsn
        for proxy in self.platform.postgres_proxies:
            proxy.lead_to(self.standby.port)


@pytest.fixture
def pair(tmp_path: Path, signing_key: str) -> Iterator[Pair]:
    with (
        running_pair(tmp_path) as (primary, standby),
        RedisServer(tmp_path / "redis") as redis,
        running_platform(tmp_path, redis, primary, signing_key) as platform,
    ):
        platform.mend()
        yield Pair(platform, standby)


def is_missing(platform: Platform, crowd: Crowd, seconds: float) -> None:
    """Commits hang for so long; everybody else goes on."""
    before = crowd.told.unavailable, crowd.told.unrecorded
    queued = crowd.told.queued
    time.sleep(seconds)
    assert (crowd.told.unavailable, crowd.told.unrecorded) == before
    assert crowd.told.queued > queued
    # What is given up does not keep a session of the server, of which others need some.
    sessions = platform.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bandit-service'")
    assert sessions[0][0] <= 8 * len(platform.services)
    assert [service.degraded() for service in platform.services] == [["postgres"]] * len(platform.services)


async def test_commits_wait_for_a_standby_that_there_is_not(platform: Platform, events: int, report: Report) -> None:
    def failure(platform: Platform, crowd: Crowd) -> None:
        wait_for_standby(platform.postgres, "missing")
        try:
            is_missing(platform, crowd, 5.0 if events <= 1_000 else 20.0)
        finally:
            wait_for_standby(platform.postgres, "")

    await survives(platform, events, failure, report)


@pytest.mark.verify
async def test_a_synchronous_standby_is_killed_and_comes_back(pair: Pair, report: Report) -> None:
    def failure(platform: Platform, crowd: Crowd) -> None:
        pair.standby.kill()
        is_missing(platform, crowd, 10.0)
        pair.standby.start()

    await survives(pair.platform, 10_000, failure, report)


@pytest.mark.verify
async def test_a_synchronous_standby_is_promoted(pair: Pair, report: Report) -> None:
    def failure(_: Platform, __: Crowd) -> None:
        pair.promote()

    await survives(pair.platform, 10_000, failure, report)


@pytest.mark.verify
async def test_a_synchronous_standby_that_was_away_for_long_is_promoted(pair: Pair, report: Report) -> None:
    """What no commit has confirmed is kept however long that takes: the standby has none of it."""

    def failure(platform: Platform, crowd: Crowd) -> None:
        pair.standby.kill()
        is_missing(platform, crowd, LONG)
        platform.postgres.kill()
        pair.standby.start()
        pair.promote()

    await survives(pair.platform, 10_000, failure, report)
