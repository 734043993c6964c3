"""Periods and live rows together are the sums of the events by version of the weights, whoever folds, and when."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import reduce
from operator import add
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_service.allocation.merged_totals import FOLD_EVERY, MergedTotals
from bandit_service.domain.event import Event
from bandit_service.domain.totals import Totals
from bandit_service.domain.weight_periods import VersionSums
from bandit_service.ledger import weight_periods
from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.leases import FencedError, Lease
from bandit_service.ledger.pool import Pool, connected, make_pool
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.weight_periods import VersionKey, WeightPeriodsRepository
from bandit_service.ledger.weights import NewWeights, WeightsRepository

from .decisions import Decision, World, new_experiment

NANO = 10**9
ARMS = 3
type Sums = dict[str, Any]


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


async def new_world(pool: Pool, **fields: Any) -> World:
    world = await World.of(pool, new_experiment(**fields))
    for arm in world.experiment.arms:
        await world.execute(
            "INSERT INTO experiment_arms VALUES (%s, %s, %s, 1, 1, 'active')", world.experiment.id, arm.index, arm.id
        )
    return world


async def publish(world: World, weights: Mapping[str, float], holdout: float = 0.0) -> int:
    record = AllocationRecord(
        version=0, revision=1, published_at=0.0, changed_at=0.0, weights=weights, prob_best={}, expected_loss={}
    )
    new = NewWeights(world.lease, record, b"{}", "", b"{}", holdout)
    return (await WeightsRepository(world.pool).publish([new]))[world.experiment.id].version


def overlap(weights: Sequence[int], own: int, other: int) -> int:
    if own == other or not weights[own]:
        return 0
    return round(weights[other] * NANO / (weights[own] + weights[other]))


def sums_of_version(weights: Sequence[float], rewards: Mapping[int, Sequence[int]]) -> Sums:
    """Add up the rewards, in millionths by arm, of one version: in integers, and term by term."""
    w, arms = [round(each * NANO) for each in weights], range(len(weights))
    n, s = [len(rewards.get(arm, ())) for arm in arms], [sum(rewards.get(arm, ())) for arm in arms]
    t = [sum((each * each + 500_000) // 1_000_000 for each in rewards.get(arm, ())) for arm in arms]
    q = [[overlap(w, own, other) for other in arms] for own in arms]
    information = [[0 if i == j else -sum(n) * w[i] * w[j] for j in arms] for i in arms]
    for i in arms:
        information[i][i] = -sum(information[i])
    return {
        "count": n,
        "total": s,
        "squares": t,
        "q": [[q[i][j] * n[i] for j in arms] for i in arms],
        "qr": [[q[i][j] * s[i] for j in arms] for i in arms],
        "q2": [[q[i][j] ** 2 * n[i] for j in arms] for i in arms],
        "q2r": [[q[i][j] ** 2 * s[i] for j in arms] for i in arms],
        "q2r2": [[q[i][j] ** 2 * t[i] for j in arms] for i in arms],
        "centred_count": [n[i] * NANO - w[i] * sum(n) for i in arms],
        "centred_total": [s[i] * NANO - w[i] * sum(s) for i in arms],
        "information": information,
    }


def plus(first: Any, second: Any) -> Any:
    if isinstance(first, dict):
        return {key: plus(first[key], second[key]) for key in first}
    if isinstance(first, list):
        return [plus(one, two) for one, two in zip(first, second, strict=True)]
    return first + second


async def told(world: World, *, stratum_of_pair: bool = False) -> Sums:
    """Fold the events of an experiment by version, without any help from the service's statements."""
    rows = await world.execute(
        "SELECT weights_version, stratum, arm_index, reward_micro FROM bandit_events WHERE experiment_id = %s "
        "AND kind IN ('reward', 'outcome') AND counted AND vector IS NULL AND stratum IN ('bandit', 'holdout')",
        world.experiment.id,
    )
    known = await world.execute(
        "SELECT weights_version, weights, holdout FROM allocations WHERE experiment_id = %s", world.experiment.id
    )
    by_version: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for version, stratum, arm, micro in rows:
        if stratum_of_pair:
            by_version[version][int(stratum == "holdout")].append(micro)
        elif stratum == "bandit":
            by_version[version][arm].append(micro)
    found = sums_of_version([0.0] * (2 if stratum_of_pair else ARMS), {})
    for version, weights, holdout in known:
        drawn_with = [1 - holdout, holdout] if stratum_of_pair else [weights.get(arm, 0.0) for arm in "abc"]
        if holdout or not stratum_of_pair:
            found = plus(found, sums_of_version(drawn_with, by_version[version]))
    return found


async def sums_in(world: World, totals: Totals) -> VersionSums:
    """Add up the periods and the live rows that a reading holds."""
    keys = [VersionKey(world.experiment.id, version) for version in totals.versions]
    known = await WeightPeriodsRepository(world.pool).weights(keys)
    live = [VersionSums.of(totals.versions[key.version], known[key]) for key in keys]
    return reduce(add, [*live, *(period.sums for period in totals.periods)])


async def check(world: World, totals: Totals) -> None:
    found = await sums_in(world, totals)
    assert found.arms.padded(ARMS).to_record() == await told(world)
    if found.holdout is not None:
        assert found.holdout.to_record() == await told(world, stratum_of_pair=True)


def some_events(world: World, chance: Random, numbers: Sequence[int], versions: Sequence[int]) -> list[Event]:
    """Return decisions under versions that were published, with their rewards, some under vectors of their own."""
    found = []
    for number in numbers:
        stratum = chance.choice(["bandit", "bandit", "bandit", "holdout", "paused"])
        decision = Decision(
            number,
            arm=chance.randrange(ARMS),
            stratum=stratum,  # type: ignore[arg-type] # one of them
            reward=chance.choice([None, 0, 1_000_000, chance.randint(-(10**9), 10**9)]),
            weights_version=chance.choice(versions),
        )
        vector = chance.choice([None, None, None, "subset"])
        found += [replace(event, vector=vector) for event in decision.events(world.experiment)]
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_two_processes_fold_exactly(pool: Pool, seed: int) -> None:
    """Rewards come late, leases change hands, and what a process remembers may be old."""
    chance = Random(seed)
    world = await new_world(pool, missing_reward=chance.choice(["ignore", "zero"]))
    name, totals = world.experiment.id, TotalsRepository(pool)
    periods = WeightPeriodsRepository(pool)
    readers = [MergedTotals(totals, periods, clock=lambda: 0.0) for _ in range(2)]
    remembered: list[Any] = [None, None]
    versions: list[int] = []
    waiting: list[Event] = []
    for turn in range(14):
        shares = [chance.random() + 0.01 for _ in range(chance.randint(2, ARMS))]
        weights = {arm: each / sum(shares) for arm, each in zip("abc", shares, strict=False)}
        versions.append(await publish(world, weights, chance.choice([0.0, 0.1, 0.25])))
        waiting += some_events(world, chance, range(turn * 20, turn * 20 + 20), versions)
        chance.shuffle(waiting)
        now, waiting = waiting[: len(waiting) // 2], waiting[len(waiting) // 2 :]
        await world.write(now, slot=chance.choice([0, 1, 5_001, 5_002]))
        if chance.random() < 0.7:
            await totals.merge([name], chance.choice([2, 5_002, 6_000]))
        if chance.random() < 0.3:
            world.lease = Lease(name, chance.choice(["me", "you"]), world.lease.token + 1)
            await world.lend(world.lease)
        place = chance.randrange(2)
        if chance.random() < 0.6:
            remembered[place] = await periods.fold(world.lease, remembered[place]) or remembered[place]
        await check(world, (await readers[place].read([name])).totals[name])
    await world.write(waiting, slot=7)
    await world.close()
    await totals.merge([name], 6_000)
    pooled = pooled_sums((await totals.read([name])).totals[name])
    await periods.fold(world.lease)
    [(live,)] = await world.execute(
        "SELECT count(*) FROM arm_totals WHERE experiment_id = %s AND weights_version > 0 AND weights_version < %s",
        name,
        versions[-1],
    )
    assert live == 0
    for reader in readers:
        reading = (await reader.read([name])).totals[name]
        await check(world, reading)
        assert pooled_sums(reading) == pooled
    agreement = Agreement(pool)
    assert await agreement.unequal_periods() == []
    assert [each for each in await agreement.differences() if each.experiment_id == name] == []


def pooled_sums(totals: Totals) -> Any:
    return {name: getattr(totals, name) for name in ("decisions", "rewards", "reward_micro", "square_micro")} | {
        "holdout": (totals.holdout_decisions, totals.holdout_rewards, totals.holdout_reward_micro)
    }


async def two_versions(pool: Pool) -> World:
    """An experiment with rewards under a version that is over, and under the one in force."""
    world = await new_world(pool)
    for version, weights in ((1, {"a": 0.25, "b": 0.75}), (2, {"a": 0.5, "b": 0.5})):
        assert await publish(world, weights) == version
        for number in range(4):
            decision = Decision(version * 10 + number, arm=number % 2, reward=300_000, weights_version=version)
            await world.write(decision.events(world.experiment), slot=0)
    return world


async def versions_left(world: World) -> list[int]:
    rows = await world.execute(
        "SELECT DISTINCT weights_version FROM arm_totals WHERE experiment_id = %s ORDER BY 1", world.experiment.id
    )
    return [version for (version,) in rows]


async def test_without_the_lease_nothing_is_folded(pool: Pool) -> None:
    world, periods = await two_versions(pool), WeightPeriodsRepository(pool)
    await world.lend(Lease(world.experiment.id, "you", 2))
    with pytest.raises(FencedError):
        await periods.fold(world.lease)
    assert await versions_left(world) == [1, 2]
    assert (await periods.read([world.experiment.id]))[world.experiment.id].periods == ()


async def test_a_lease_lost_in_the_middle_waits(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the lease waits for the fold, and reads what it has left."""
    world, periods = await two_versions(pool), WeightPeriodsRepository(pool)
    save = weight_periods._save
    lending: list[asyncio.Task[None]] = []

    async def lend_first(*arguments: Any) -> int:
        lending.append(asyncio.create_task(world.lend(Lease(world.experiment.id, "you", 2))))
        await asyncio.sleep(0.1)
        assert not lending[0].done()
        return await save(*arguments)

    monkeypatch.setattr(weight_periods, "_save", lend_first)
    assert await periods.fold(world.lease) is not None
    await lending[0]
    assert await versions_left(world) == [-1, 2]
    with pytest.raises(FencedError):
        await periods.fold(world.lease)
    reader = MergedTotals(TotalsRepository(pool), periods, clock=lambda: 0.0)
    await check(world, (await reader.read([world.experiment.id])).totals[world.experiment.id])


@pytest.mark.parametrize("is_committed", [True, False])
async def test_after_an_unknown_commit_it_is_read_again(
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    is_committed: bool,  # noqa: FBT001
) -> None:
    world = await two_versions(pool)
    name = world.experiment.id
    reader = MergedTotals(TotalsRepository(pool), WeightPeriodsRepository(pool), clock=lambda: 0.0)
    await check(world, (await reader.read([name])).totals[name])

    @asynccontextmanager
    async def unheard(*arguments: Any, **limits: Any) -> AsyncIterator[Any]:
        async with connected(*arguments, **limits) as connection:
            yield connection
            if not is_committed:
                raise PostgresUnavailableError("gone")
        raise PostgresUnavailableError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(weight_periods, "connected", unheard)
        with pytest.raises(PostgresUnavailableError):
            await reader.fold({name: world.lease})
    assert await versions_left(world) == ([-1, 2] if is_committed else [1, 2])
    await check(world, (await reader.read([name])).totals[name])
    assert await reader.fold({name: world.lease}) == set()
    await check(world, (await reader.read([name])).totals[name])


async def test_a_fold_waits_for_its_time(pool: Pool) -> None:
    world, now = await two_versions(pool), [0.0]
    name = world.experiment.id
    reader = MergedTotals(TotalsRepository(pool), WeightPeriodsRepository(pool), clock=lambda: now[0])
    await reader.read([name])
    assert await reader.fold({name: Lease(name, "you", 1)}) == {name}
    await reader.fold({name: world.lease})
    assert await versions_left(world) == [-1, 2]
    await publish(world, {"a": 1.0})
    await world.write(Decision(30, reward=0, weights_version=3).events(world.experiment), slot=0)
    await reader.read([name])
    now[0] += FOLD_EVERY - 1.0
    await reader.fold({name: world.lease})
    assert await versions_left(world) == [-1, 2, 3]
    now[0] += 1.0
    await reader.fold({name: world.lease})
    assert await versions_left(world) == [-1, 3]


async def test_deleted_weights_are_shares_of_rewards(pool: Pool) -> None:
    world, periods = await two_versions(pool), WeightPeriodsRepository(pool)
    await world.execute("DELETE FROM allocations WHERE experiment_id = %s AND weights_version = 1", world.experiment.id)
    found = await periods.fold(world.lease)
    assert found is not None
    [period] = found.periods
    assert period.begins == period.ends > 0.0
    rewards = {0: [300_000] * 2, 1: [300_000] * 2}
    assert period.sums.arms.to_record() == sums_of_version([0.5, 0.5], rewards)
    assert await Agreement(pool).unequal_periods() == []


async def test_wrong_periods_are_found(pool: Pool) -> None:
    world = await two_versions(pool)
    await WeightPeriodsRepository(pool).fold(world.lease)
    await world.execute(
        "UPDATE weight_periods SET sums = jsonb_set(sums, '{arms,q,0,1}', '1') WHERE experiment_id = %s",
        world.experiment.id,
    )
    assert world.experiment.id in await Agreement(pool).unequal_periods()
    await world.execute("DELETE FROM weight_periods WHERE experiment_id = %s", world.experiment.id)
    assert world.experiment.id in await Agreement(pool).unequal_periods()
