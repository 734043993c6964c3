"""Every draw is tested once, and a draw is a decision that was drawn anew from its propensity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from bandit_core.sample_ratio import SMALL_P_VALUE
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.sample_ratios import SampleRatios
from bandit_service.ledger.settling import Settling

from .decisions import START_MS, Decision, World

if TYPE_CHECKING:
    from conftest import NewExperiment


@pytest.fixture
async def world(pool: Pool, new_experiment: NewExperiment) -> World:
    experiment = await new_experiment()
    async with pool.connection() as connection:
        await connection.execute("UPDATE experiments SET created_at = to_timestamp(%s)", [START_MS / 1_000])
    return World(pool, experiment, Lease(experiment.id, "me", 1), Settling(pool, slot=3))


async def decide(world: World, *decisions: Decision, propensity: float = 0.5, **fields: Any) -> None:
    for decision in decisions:
        events = [replace(event, propensity=propensity, **fields) for event in decision.events(world.experiment)]
        await world.write(events)


async def ratios(pool: Pool) -> dict[str, tuple[int, int, float, float]]:
    """Return draws of the arm, draws of all, what the arm's draws represent, and the p-value, by arm."""
    query = "SELECT arm, arm_draws, draws, represented, p_value FROM sample_ratios_v1"
    async with pool.connection() as connection:
        return {arm: tuple(rest) for arm, *rest in await (await connection.execute(query)).fetchall()}


async def test_each_draw_is_counted_once(pool: Pool, world: World) -> None:
    counting, names = SampleRatios(pool), [world.experiment.id]
    await decide(world, Decision(1), Decision(2), Decision(3, arm=1))
    await counting.update(names)
    assert await ratios(pool) == {"a": (2, 3, 4.0, 1.0), "b": (1, 3, 2.0, 1.0)}
    await counting.update(names)
    await decide(world, Decision(4, at_ms=START_MS + 7_200_000), propensity=0.25)
    for _ in range(3):
        await counting.update(names)
    assert {arm: found[:3] for arm, found in (await ratios(pool)).items()} == {"a": (3, 4, 8.0), "b": (1, 4, 2.0)}


async def test_an_arm_drawn_too_often_is_found(pool: Pool, world: World) -> None:
    await decide(world, *(Decision(number, arm=number % 5 == 0) for number in range(150)))
    await SampleRatios(pool).update([world.experiment.id])
    found = await ratios(pool)
    assert found["a"][3] < SMALL_P_VALUE < found["b"][3]


async def test_what_is_no_draw_is_left_out(pool: Pool, world: World) -> None:
    unit = "ab" * 16
    await decide(world, Decision(1, unit=unit), Decision(2, unit=unit), Decision(3, deferred=True))
    await decide(world, Decision(4, deferred=True, activated=True, unit="cd" * 16), Decision(5, stratum="holdout"))
    await decide(world, Decision(6), slate_propensity=0.1)
    await SampleRatios(pool).update([world.experiment.id])
    assert {arm: found[:2] for arm, found in (await ratios(pool)).items()} == {"a": (2, 2)}


async def test_draws_wait_for_processes_that_lag(pool: Pool, world: World) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO producers (name, slot, drained_to, timeline)"
            " VALUES ('slow', 1, to_timestamp(%s), ledger_timeline())",
            [START_MS / 1_000 - 1.0],
        )
    await decide(world, Decision(1))
    await SampleRatios(pool).update([world.experiment.id])
    assert await ratios(pool) == {}
