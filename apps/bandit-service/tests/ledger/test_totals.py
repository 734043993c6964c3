"""Totals read from Postgres: one statement for many experiments, all slots and versions together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.ledger.totals import TotalsRepository

from .decisions import Decision, World, new_experiment


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


async def test_slots_and_versions_are_added_up_for_each_experiment(pool: Pool) -> None:
    first, second = [await World.of(pool, new_experiment()) for _ in range(2)]
    for slot, version in ((1, 1), (2, 1), (2, 5)):
        told = Decision(slot * 10 + version, arm=1, reward=500_000, segment="de", weights_version=version)
        await first.write(told.events(first.experiment), slot=slot)
    await first.write(Decision(1, stratum="holdout", reward=250_000).events(first.experiment))
    await second.write(Decision(1, stratum="paused").events(second.experiment))
    ids = [first.experiment.id, second.experiment.id, "without events"]
    found = await TotalsRepository(pool).read(ids)
    assert list(found) == ids
    totals = found[first.experiment.id]
    assert (totals.decisions, totals.rewards, totals.reward_micro) == ({1: 3}, {1: 3}, {1: 1_500_000})
    assert totals.square_micro == {1: 750_000}
    assert (totals.holdout_decisions, totals.holdout_rewards, totals.holdout_reward_micro) == ({0: 1}, 1, 250_000)
    assert (totals.segment_rewards, totals.segment_micro) == ({("de", 1): 3}, {("de", 1): 1_500_000})
    assert found[second.experiment.id].decisions == found["without events"].decisions == {}
    assert abs(totals.as_of - time.time()) < 60.0
    assert {each.as_of for each in found.values()} == {totals.as_of}


@pytest.mark.parametrize("micro", [0, -1, 707, 708, 999_999_999_999, -123_456_789_012_345, 2**62 + 12_345])
async def test_the_square_of_a_reward_of_any_size_is_exact(pool: Pool, micro: int) -> None:
    world = await World.of(pool, new_experiment())
    await world.write(Decision(1, reward=micro).events(world.experiment))
    totals = (await TotalsRepository(pool).read([world.experiment.id]))[world.experiment.id]
    assert totals.square_micro == {0: (micro * micro + 500_000) // 1_000_000}


async def test_a_change_of_any_stratum_shows(pool: Pool) -> None:
    world = await World.of(pool, new_experiment())
    totals, name = TotalsRepository(pool), world.experiment.id
    assert await totals.changed([name, "another"]) == {name: (0, 0), "another": (0, 0)}
    await world.write(Decision(1, stratum="paused").events(world.experiment))
    await world.write(Decision(2, reward=1).events(world.experiment))
    assert await totals.changed([name]) == {name: (2, 1)}


async def test_of_no_experiment_nothing_is_read(pool: Pool) -> None:
    totals = TotalsRepository(pool)
    assert await totals.read([]) == {}
    assert await totals.changed([]) == {}
