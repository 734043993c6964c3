"""Schedules that have found a fault of the product, each shortened to what it needs."""

from __future__ import annotations

import pytest

from .run import run
from .schedule import HOLDER, Activate, Fault, Reward, Schedule, Select, Step

# By name: the seed of the world, how many processes there are, and the steps.
FOUND: dict[str, tuple[int, int, tuple[Step, ...]]] = {
    # The commit of new weights was not heard of: the mirror kept the former ones until they changed again.
    "the mirror gets weights whose commit nobody heard of": (
        17,
        3,
        (
            Select(6.76, 0, "d", "plain", "unit-1", deferred=True),
            Fault(7.227, "lossy_commits", HOLDER, lasts=1.7, share=0.5),
            Activate(7.24, 1, "d"),
            Reward(7.437, 2, "d", 900_003),
        ),
    ),
    # Its process did not reach Redis, so another one gave the id again while Postgres was away.
    "an own id whose commit nobody heard of is not given again": (
        1,
        3,
        (
            Fault(1.602, "redis_away", lasts=1.33),
            Fault(1.782, "postgres_holds_commits", lasts=3.589),
            Select(1.802, 0, "d", "zero", "unit-1", own_id="own-1"),
        ),
    ),
    # The first attempt, which was not acknowledged, was committed: nobody kept its row, which a failover lost.
    "a decision counts by the row of an attempt that nobody heard of": (
        0,
        2,
        (
            Fault(1.685, "postgres_frozen", lasts=4.014),
            Select(1.906, 0, "d", "plain", "unit-2", own_id="own-1"),
            Fault(5.769, "postgres_fails_over", lasts=0.511, lag=0.829),
        ),
    ),
    # The answer to the closing came after the failover that lost it: the bucket was deleted on the new timeline.
    "a window is closed again that a failover has opened": (
        10,
        3,
        (
            Select(0.64, 1, "d", "zero", "unit-1"),
            Select(6.244, 1, "e", "plain", "unit-2", places=2),
            Select(7.072, 0, "f", "plain", "unit-4", own_id="own-2"),
            Fault(7.614, "stalled_commit", 1, lasts=2.056),
            Fault(7.989, "postgres_fails_over", lag=0.316),
        ),
    ),
    # A former primary, on a session that was left, made the holder drop its lease; the ledger's answer stayed the same.
    "a lease that was dropped in error is held again": (
        22,
        3,
        (
            Select(0.64, 1, "d", "zero", "unit-1"),
            Select(1.303, 0, "e", "zero", "unit-2", own_id="own-1", deferred=True),
            Fault(7.614, "stalled_commit", 1, lasts=2.056),
            Fault(7.989, "postgres_fails_over", lag=0.316),
            Select(8.031, 0, "f", "plain", "unit-4", own_id="own-2"),
        ),
    ),
    # Its heartbeats were lost, and one who looked at them had not noticed the failover: it was marked dead.
    "a living process is waited for although its heartbeats are lost": (
        1,
        3,
        (
            Select(4.354, 0, "d", "plain", "unit-5", own_id="own-1", deferred=True),
            Reward(4.419, 0, "d", 4_483),
            Select(5.4, 2, "e", "plain", "unit-6"),
            Fault(5.587, "postgres_fails_over", lasts=0.879, lag=2.874),
            Reward(5.741, 1, "d", 3_898),
            Select(5.897, 2, "f", "zero", "unit-0"),
            # Of decisions that there are not: without these the steps before run in another order.
            Reward(6.136, 1, "none", 1),
            Reward(6.34, 1, "none", 2),
            Fault(6.612, "postgres_read_only", 2, lasts=2.105),
            Reward(6.767, 0, "none", 3),
        ),
    ),
    # The totals that were read after that seemed older than what stood in the mirror.
    "the mirror follows although the clock of Postgres is set back": (
        1,
        2,
        (
            Select(4.0, 0, "d", "plain", "unit-1"),
            Select(4.0, 1, "e", "plain", "unit-1"),
            Reward(5.0, 0, "d", 900_001),
            Fault(5.5, "postgres_clock"),
            Reward(5.6, 1, "e", 900_002),
        ),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_schedule_that_went_wrong(name: str) -> None:
    seed, replicas, steps = FOUND[name]
    assert run(Schedule(seed, replicas, steps)).wrong == ()
