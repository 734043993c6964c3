"""Totals read from Postgres: one statement for many experiments, all slots and versions together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.ledger.slots import slot_at
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
    found = (await TotalsRepository(pool).read(ids)).totals
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
    totals = (await TotalsRepository(pool).read([world.experiment.id])).totals[world.experiment.id]
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
    assert (await totals.read([])).totals == {}
    assert await totals.changed([]) == {}
    assert await totals.merge([], 9) == set()


async def test_older_slots_are_merged_and_the_sums_stay(pool: Pool) -> None:
    world, other = [await World.of(pool, new_experiment()) for _ in range(2)]
    for number in range(12):
        told = Decision(number, arm=number % 2, reward=number * 100_000, weights_version=number % 3)
        await world.write(told.events(world.experiment), slot=slot_at(number % 2, number * 5_000))
    await other.write(Decision(1).events(other.experiment), slot=5)
    totals, name = TotalsRepository(pool), world.experiment.id
    before = (await totals.read([name])).totals
    assert await totals.merge([name], slot_at(0, 11 * 5_000)) == {name}
    found = await world.execute("SELECT slot, count(*) FROM arm_totals WHERE experiment_id = %s GROUP BY 1", name)
    assert sorted(found) == [(0, 6), (11_001, 1)]
    assert replace((await totals.read([name])).totals[name], as_of=0) == replace(before[name], as_of=0)
    assert await totals.merge([name], slot_at(0, 11 * 5_000)) == set()
    assert await other.execute("SELECT slot FROM arm_totals WHERE experiment_id = %s", other.experiment.id) == [(5,)]


async def test_what_comes_late_into_an_older_slot_is_read_once_it_is_merged(pool: Pool) -> None:
    world = await World.of(pool, new_experiment())
    totals, name, floor = TotalsRepository(pool), world.experiment.id, 9_000
    await world.write(Decision(1, arm=1).events(world.experiment), slot=5_001)
    await totals.merge([name], floor)
    await world.write(Decision(2, arm=1).events(world.experiment), slot=5_001)
    await world.write(Decision(3, arm=1).events(world.experiment), slot=9_001)
    assert (await totals.read([name], {name: floor})).totals[name].decisions == {1: 2}
    assert (await totals.read([name])).totals[name].decisions == {1: 3}
    assert await totals.changed([name]) == {name: (3, 0)}
    assert await totals.merge([name], floor) == {name}
    assert (await totals.read([name], {name: floor})).totals[name].decisions == {1: 3}


async def test_merging_beside_batches_loses_nothing_and_does_not_deadlock(pool: Pool) -> None:
    """Batches raise rows that are being merged, and two processes merge at once."""
    world = await World.of(pool, new_experiment())
    totals, name = TotalsRepository(pool), world.experiment.id

    async def write(slot: int) -> None:
        for number in range(40):
            told = [
                Decision(slot * 1_000 + number * 10 + each, arm=each % 3, weights_version=each, reward=100_000)
                for each in range(6)
            ]
            events = [event for each in told for event in each.events(world.experiment)]
            await world.write(events, slot=slot + number // 10)

    async def merge() -> None:
        for _ in range(40):
            await totals.merge([name], 100)

    await asyncio.gather(*[write(slot) for slot in (1, 2)], merge(), merge())
    await merge()
    found = (await totals.read([name], {name: 100})).totals[name]
    assert (sum(found.decisions.values()), sum(found.rewards.values())) == (480, 480)
    assert await world.execute("SELECT DISTINCT slot FROM arm_totals WHERE experiment_id = %s", name) == [(0,)]
    assert await world.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
