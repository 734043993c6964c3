"""Redis fails over, perhaps to a replica that lags, or not for every process: what counts is in Postgres anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import HOST

from .crowd import Crowd
from .drill import survives
from .platform import Platform

if TYPE_CHECKING:
    from .conftest import Report

type Failover = Callable[[Platform, RedisServer], None]


def all_follow(platform: Platform, standby: RedisServer) -> None:
    platform.fail_over(standby)
    for proxy in platform.proxies:
        proxy.lead_to(standby.port)


def one_process_stays_behind(platform: Platform, standby: RedisServer) -> None:
    """For some seconds each process has a Redis of its own, and both take what they are given."""
    platform.fail_over(standby)
    platform.proxies[1].lead_to(standby.port)
    time.sleep(2.0)
    platform.redis.kill()
    platform.proxies[0].lead_to(standby.port)


def the_replica_lags(platform: Platform, standby: RedisServer) -> None:
    with redis.Redis.from_url(standby.url) as client:
        client.execute_command("REPLICAOF", HOST, "1")
    time.sleep(1.0)
    platform.redis.kill()
    all_follow(platform, standby)


def the_connections_stay(platform: Platform, standby: RedisServer) -> None:
    """The server becomes a copy of an older one under its clients, which writes nothing, and is the first one again."""
    with redis.Redis.from_url(standby.url) as older, redis.Redis.from_url(platform.redis.url) as first:
        older.execute_command("REPLICAOF", "NO", "ONE")
        time.sleep(1.0)
        first.execute_command("REPLICAOF", HOST, standby.port)
        time.sleep(1.5)
        first.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize(
    "failover",
    [
        pytest.param(all_follow, marks=pytest.mark.verify),
        one_process_stays_behind,
        pytest.param(the_replica_lags, marks=pytest.mark.verify),
        the_connections_stay,
    ],
)
async def test_redis_fails_over(
    platform: Platform, events: int, failover: Failover, report: Report, tmp_path: Path
) -> None:
    with platform.standby(tmp_path / "standby") as standby:

        def failure(platform: Platform, _: Crowd) -> None:
            failover(platform, standby)

        await survives(platform, events, failure, report)
