"""Postgres is away; selection and rewards go on, and it gets everything once it is back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .crowd import Crowd
from .drill import survives
from .platform import Platform, frozen

if TYPE_CHECKING:
    from .conftest import Report

_BYTES_PER_EVENT = 200
_FEW = 0.05


async def test_postgres_is_killed_and_stays_away(platform: Platform, events: int, report: Report) -> None:
    """Ids of clients' own may need Postgres: for ever if Redis has lost claims, else until its absence is seen."""
    away = 10.0 if events > 1_000 else 3.0

    def failure(platform: Platform, crowd: Crowd) -> None:
        platform.postgres.kill()
        with _everything_is_taken(crowd):
            time.sleep(away)
        platform.postgres.start()

    await survives(platform, events, failure, report)


async def test_postgres_stands_still(platform: Platform, events: int, report: Report) -> None:
    def failure(platform: Platform, crowd: Crowd) -> None:
        with _everything_is_taken(crowd), frozen(platform.postgres.pid):
            time.sleep(3.0)

    await survives(platform, events, failure, report)


async def test_redis_reaches_its_memory_limit_while_postgres_is_away(
    platform: Platform, events: int, report: Report
) -> None:
    """Rewards get 503, selections are answered unrecorded, and all of it ends when Postgres is back.

    There is room again once the spool drops what Postgres has had for a minute; the small version does not wait for it.
    """
    room = _BYTES_PER_EVENT * events

    def failure(platform: Platform, crowd: Crowd) -> None:
        platform.postgres.kill()
        with platform.store() as client:
            used = client.info("memory")["used_memory"]
        platform.configure_redis(maxmemory=str(used + room))
        _wait_until_full(crowd)
        time.sleep(1.0)
        platform.postgres.start()
        if events <= 1_000:
            platform.configure_redis(maxmemory="0")

    try:
        await survives(platform, events, failure, report)
    finally:
        platform.configure_redis(maxmemory="0")


@contextmanager
def _everything_is_taken(crowd: Crowd) -> Iterator[None]:
    """See that nearly all events are acknowledged. A busy machine may be too slow for a few, as if Redis were away."""
    told = crowd.told
    acknowledged, refused = told.acknowledged, told.unavailable + told.unrecorded
    yield
    assert told.unavailable + told.unrecorded - refused <= (told.acknowledged - acknowledged) * _FEW


def _wait_until_full(crowd: Crowd) -> None:
    deadline = time.monotonic() + 30.0
    while not (crowd.told.unavailable and crowd.told.unrecorded):
        assert time.monotonic() < deadline
        time.sleep(0.01)
