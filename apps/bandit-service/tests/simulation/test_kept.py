"""Schedules that have found a fault of the product, each shortened to what it needs."""

from __future__ import annotations

import pytest

from .run import run
from .schedule import HOLDER, Activate, Fault, Reward, Schedule, Select, Step

FOUND: dict[str, tuple[int, tuple[Step, ...]]] = {
    # The commit of new weights was not heard of: the mirror kept the former ones until they changed again.
    "the mirror gets weights whose commit nobody heard of": (
        17,
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
        (
            Fault(1.602, "redis_away", lasts=1.33),
            Fault(1.782, "postgres_holds_commits", lasts=3.589),
            Select(1.802, 0, "d", "zero", "unit-1", own_id="own-1"),
        ),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_schedule_that_went_wrong(name: str) -> None:
    seed, steps = FOUND[name]
    assert run(Schedule(seed, 3, steps)).wrong == ()
