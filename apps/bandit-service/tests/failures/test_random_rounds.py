"""Faults drawn at random, one or two at a time, round after round on the same three processes."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from bandit_local.servers import PostgresServer, RedisServer

from . import test_failover, test_links, test_redis
from .crowd import Crowd
from .drill import survives
from .platform import LEASE_SECONDS, Platform, frozen, running_platform
from .standby import wait_for_standby
from .test_contexts import LINEAR

if TYPE_CHECKING:
    from .conftest import Report

SERVICES = 3
EVENTS = 600
SERIES, ROUNDS = 10, 10
# Give it the seed that a run has printed, to draw the same again.
SEED = os.environ.get("DRILL_SEED") or secrets.token_hex(4)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "slates": {"k": 2},
    "contextual": {"features": 3, **LINEAR},
    "hurried": {"update_every": 0.05},
}


@dataclass(frozen=True)
class Fault:
    """Something that breaks and mends. Two happen at once only if they break different things.

    A Redis that loses its data while a process ends is the one double failure that may lose something.
    """

    name: str
    breaks: frozenset[str]
    happen: Callable[[Platform, Crowd, random.Random], None]

    def may_meet(self, other: Fault) -> bool:
        both = self.breaks | other.breaks
        return not self.breaks & other.breaks and not {"data of Redis", "process"} <= both


def _known(fault: Callable[[Platform, Crowd], None], *breaks: str) -> Fault:
    return Fault(fault.__name__, frozenset(breaks), lambda platform, crowd, _: fault(platform, crowd))


def _redis_fails_over(platform: Platform, _: Crowd, rng: random.Random) -> None:
    kinds = [test_failover.one_process_stays_behind, test_failover.the_replica_lags, test_failover.the_connections_stay]
    folder = platform.redis.data_dir.with_name(f"standby-{rng.randrange(10**9)}")
    with platform.standby(folder) as standby:
        rng.choice(kinds)(platform, standby)
        platform.mend()


def _postgres_is_killed(platform: Platform, _: Crowd, rng: random.Random) -> None:
    platform.postgres.kill()
    time.sleep(4.0 * rng.random())
    platform.postgres.start()


def _postgres_stands_still(platform: Platform, _: Crowd, rng: random.Random) -> None:
    with frozen(platform.postgres.pid):
        time.sleep(4.0 * rng.random())


def _commits_wait(platform: Platform, _: Crowd, rng: random.Random) -> None:
    wait_for_standby(platform.postgres, "missing")
    time.sleep(4.0 * rng.random())
    wait_for_standby(platform.postgres, "")


def _writers_are_held_back(platform: Platform, _: Crowd, rng: random.Random) -> None:
    with platform.writers_held_back():
        time.sleep(4.0 * rng.random())


def _a_process_is_killed(platform: Platform, _: Crowd, rng: random.Random) -> None:
    service = rng.choice(platform.services)
    service.kill()
    time.sleep((LEASE_SECONDS + 2.0) * rng.random())
    service.start()
    service.wait_until_ready()


def _a_process_ends(platform: Platform, _: Crowd, rng: random.Random) -> None:
    service = rng.choice(platform.services)
    service.terminate()
    service.start()
    service.wait_until_ready()


def _a_process_stands_still(platform: Platform, _: Crowd, rng: random.Random) -> None:
    with frozen(rng.choice(platform.services).pid):
        time.sleep((LEASE_SECONDS + 3.0) * rng.random())


FAULTS = [
    *(
        _known(each, "Redis", "data of Redis", "Postgres")
        for each in (
            test_redis.forget_everything,
            test_redis.forget_what_postgres_lacks,
            test_redis.forget_what_postgres_has,
        )
    ),
    _known(test_redis.forget_everything_twice, "Redis", "data of Redis"),
    _known(test_redis.stand_still_and_forget_everything, "Redis", "data of Redis"),
    Fault(
        "redis_fails_over",
        frozenset({"Redis", "data of Redis", "links to Redis", "Postgres", "process"}),
        _redis_fails_over,
    ),
    _known(test_redis.crash, "Redis"),
    _known(test_redis.stand_still, "Redis"),
    _known(test_redis.forget_the_scripts, "Redis"),
    Fault("postgres_is_killed", frozenset({"Postgres"}), _postgres_is_killed),
    Fault("postgres_stands_still", frozenset({"Postgres"}), _postgres_stands_still),
    Fault("commits_wait", frozenset({"Postgres"}), _commits_wait),
    Fault("writers_are_held_back", frozenset({"Postgres"}), _writers_are_held_back),
    Fault("a_process_is_killed", frozenset({"process"}), _a_process_is_killed),
    Fault("a_process_ends", frozenset({"process"}), _a_process_ends),
    Fault("a_process_stands_still", frozenset({"process"}), _a_process_stands_still),
    Fault("is_slow", frozenset({"links to Redis"}), lambda p, c, r: test_links.is_slow(0.4 * r.random(), 3.0)(p, c)),
    _known(test_links.is_silent_and_then_cut, "links to Redis"),
    _known(test_links.drops_to_redis, "links to Redis"),
    _known(test_links.drops_to_postgres, "links to Postgres"),
    _known(test_links.loses_answers_of_postgres, "links to Postgres"),
]


@pytest.fixture(scope="module")
def three_replicas(
    tmp_path_factory: pytest.TempPathFactory, breakable_postgres: PostgresServer, signing_key: str
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("three")
    with (
        RedisServer(folder / "redis") as redis,
        running_platform(folder, redis, breakable_postgres, signing_key, services=SERVICES) as platform,
    ):
        yield platform


@pytest.mark.verify
@pytest.mark.parametrize("series", range(SERIES))
async def test_nothing_is_lost_or_doubled_whatever_fails(three_replicas: Platform, series: int, report: Report) -> None:
    rng = random.Random(f"{SEED}-{series}")
    for number in range(ROUNDS):
        three_replicas.mend()
        drawn = _draw(rng)
        kind = rng.choice(list(KINDS))
        seeds = [rng.random() for _ in drawn]
        what = f"seed {SEED}, series {series}, round {number}, {kind}: {' and '.join(fault.name for fault in drawn)}"

        def failure(platform: Platform, crowd: Crowd, drawn: list[Fault] = drawn, seeds: list[float] = seeds) -> None:
            with ThreadPoolExecutor(len(drawn)) as threads:
                happening = [
                    threads.submit(fault.happen, platform, crowd, random.Random(seed))
                    for fault, seed in zip(drawn, seeds, strict=True)
                ]
            for each in happening:
                each.result()

        def told(line: str, what: str = what) -> None:
            report(f"{what}: {line}")

        try:
            await survives(three_replicas, EVENTS, failure, told, **KINDS[kind])
        except BaseException as error:
            error.add_note(what)
            report(f"{what}: FAILED")
            raise


def _draw(rng: random.Random) -> list[Fault]:
    first = rng.choice(FAULTS)
    others = [fault for fault in FAULTS if first.may_meet(fault)]
    return [first, rng.choice(others)] if others and rng.random() < 0.5 else [first]
