"""A process of the service dies, ends or stands still; the other one goes on, and nothing is lost or counted twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .crowd import Crowd
from .drill import survives
from .ledger import in_postgres, in_redis, settled
from .platform import ARMS, Platform, frozen

if TYPE_CHECKING:
    from .conftest import Report

LEASE_SECONDS = 5.0


def kill_both_in_turn(platform: Platform, _: Crowd) -> None:
    """Whichever holds the lease and publishes: the other one has to take it over."""
    for service in platform.services:
        service.kill()
        time.sleep(0.5)
        service.start()
        service.wait_until_ready()


def end_both_in_turn(platform: Platform, _: Crowd) -> None:
    for service in platform.services:
        assert service.terminate() == 0
        service.start()
        service.wait_until_ready()


def stand_still_beyond_the_lease(platform: Platform, _: Crowd) -> None:
    """What the process was about to write or publish, it tries to when another one has long taken over."""
    with frozen(platform.services[0].pid):
        time.sleep(LEASE_SECONDS + 2.0)


@pytest.mark.parametrize(
    "failure",
    [kill_both_in_turn, pytest.param(end_both_in_turn, marks=pytest.mark.verify), stand_still_beyond_the_lease],
)
async def test_a_service_is_killed_ended_or_frozen(
    platform: Platform, events: int, failure: Callable[[Platform, Crowd], None], report: Report
) -> None:
    await survives(platform, events, failure, report, update_every=0.05)


async def test_what_a_process_acknowledged_is_in_postgres_once_it_has_ended(platform: Platform) -> None:
    name = await platform.create()
    async with Crowd(platform.urls, name).working() as crowd:
        await crowd.until(500)
    for service in platform.services:
        assert service.terminate() == 0
    written = platform.rows(
        "SELECT count(*) FROM bandit_events WHERE experiment_id = %s AND kind <> 'activation'", name
    )
    assert written[0][0] >= crowd.told.acknowledged
    platform.mend()


async def test_the_only_process_is_killed_in_the_middle_of_a_refill(platform: Platform, report: Report) -> None:
    name = await platform.create()
    await settled(platform, name)
    _seed(platform, name, 30_000)
    platform.services[1].terminate()
    platform.empty_redis()
    _wait_for(lambda: _is_filling(platform, name))
    platform.services[0].kill()
    assert _is_filling(platform, name)
    started = time.monotonic()
    platform.mend()
    ready = time.monotonic()
    await settled(platform, name)
    report(f"refilled {time.monotonic() - ready:.1f} s after the processes ran again ({ready - started:.1f} s)")
    assert in_redis(platform, name) == in_postgres(platform, name)
    assert in_redis(platform, name).decisions == dict.fromkeys(range(len(ARMS)), 10_000)


async def test_a_half_filled_experiment_is_refilled_although_nobody_asks_for_it(platform: Platform) -> None:
    """Every process died in the middle of a refill, after the definition had been mirrored."""
    name = await platform.create()
    await settled(platform, name)
    _seed(platform, name, 300)
    for service in platform.services:
        service.kill()
    platform.run("UPDATE event_positions SET epoch = epoch + 1 WHERE experiment_id = %(name)s", {"name": name})
    ((epoch,),) = platform.rows("SELECT epoch FROM event_positions WHERE experiment_id = %s", name)
    with platform.store() as client:
        client.delete(_state(name))
        client.hset(_state(name), mapping={"filling": epoch, "revision": 1, "weights_version": 0})
    platform.mend()
    await settled(platform, name)
    assert in_redis(platform, name) == in_postgres(platform, name)
    assert in_redis(platform, name).decisions == dict.fromkeys(range(len(ARMS)), 100)


async def test_the_double_failure_costs_at_most_what_postgres_had_not_been_given(
    platform: Platform, report: Report
) -> None:
    """Redis emptied, and with it every process killed that still kept what it had acknowledged."""
    name = await platform.create()
    async with Crowd(platform.urls, name).working() as crowd:
        await crowd.until(1_000)
        died_at = time.monotonic()
        for service in platform.services:
            service.kill()
        platform.empty_redis()
        crowd.give_up()
    platform.mend()
    await settled(platform, name)
    kept = {row[0] for row in platform.rows("SELECT decision_id FROM bandit_events WHERE experiment_id = %s", name)}
    lost = [place for place in crowd.told.decisions if place[0] not in kept]
    ages = [died_at - crowd.told.decided_at[place] for place in lost]
    report(f"{len(lost)} of {len(crowd.told.decisions)} decisions lost, of the last {max(ages, default=0.0):.2f} s")
    assert max(ages, default=0.0) < 2.0
    assert in_redis(platform, name) == in_postgres(platform, name)


def _seed(platform: Platform, name: str, events: int) -> None:
    """Write so many decisions and their rewards into Postgres, as if they had come by the stream."""
    platform.run(
        """
        INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, epoch, seq, arm_index,
            stratum, propensity, reward_micro, believed)
        SELECT %(name)s, 'seed-' || n, kind, now(), now(), 1, 2 * n + (kind = 'reward')::int, n %% 3, 'bandit',
            0.333, CASE kind WHEN 'reward' THEN 250000 END, kind = 'reward'
        FROM generate_series(1, %(events)s) AS n, unnest(ARRAY['decision', 'reward']) AS kind
        """,
        {"name": name, "events": events},
    )
    platform.run(
        "UPDATE event_positions SET committed_seq = %(seq)s WHERE experiment_id = %(name)s",
        {"name": name, "seq": 2 * events + 1},
    )


def _is_filling(platform: Platform, name: str) -> bool:
    with platform.store() as client:
        return bool(client.hexists(_state(name), "filling"))


def _state(name: str) -> str:
    return f"experiment:{{{name}}}:state"


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
