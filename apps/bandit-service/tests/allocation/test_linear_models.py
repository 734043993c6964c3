"""Linear models of the lease-holder: exact sums of committed outcomes, from a checkpoint and the turns after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bandit_core.linear import LinearArm
from bandit_core.rules.experiment import PolicyDefinition
from bandit_core.rules.linear_record import LinearRecord
from bandit_core.rules.vectors import linear_prior_of
from bandit_service.allocation import linear_models
from bandit_service.allocation.linear_models import LinearModels, Models
from bandit_service.ledger.leases import FencedError, Lease
from bandit_service.ledger.linear_outcomes import LinearOutcomes
from bandit_service.ledger.pool import Pool, make_pool

from ..ledger.decisions import (  # type: ignore[import-not-found]  # noqa: TID252 (no installed package)
    START_MS,
    Decision,
    World,
    new_experiment,
)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


@pytest.fixture
async def world(pool: Pool) -> World:
    return await World.of(pool, new_experiment(contextual=True))


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def models_of(pool: Pool, clock: Clock | None = None) -> LinearModels:
    return LinearModels(LinearOutcomes(pool), clock=clock or Clock())


def visit(number: int, **fields: Any) -> Decision:
    context = [number / 7, -number / 3]
    return Decision(
        number, **{"arm": number % 2, "reward": number * 1_000, "context": context, "at_ms": START_MS + number} | fields
    )


async def rewarded(world: World, *numbers: int, models: LinearModels | None = None, **fields: Any) -> None:
    await world.write([event for each in numbers for event in visit(each, **fields).events(world.experiment)])
    for turn in await world.settle():
        if models is not None:
            models.take(turn)


async def published(world: World, models: LinearModels) -> Models:
    found = await models.models(world.lease, world.experiment)
    assert found is not None
    return found


def same(first: Models, second: Models) -> bool:
    return first.record == second.record and np.array_equal(first.contexts, second.contexts)


async def test_models_are_those_of_the_outcomes_and_say_of_which_turn(pool: Pool, world: World) -> None:
    models = models_of(pool)
    await rewarded(world, 1, 2, models=models)
    await published(world, models)
    await rewarded(world, 3, models=models)
    found = await published(world, models)
    prior = linear_prior_of(world.experiment)
    arms = {0: LinearArm.of(prior), 1: LinearArm.of(prior), 2: LinearArm.of(prior)}
    for number in (1, 2, 3):
        x = np.array([number / 7, -number / 3, 1.0])
        arms[number % 2] = arms[number % 2].update(prior, x, number / 1_000, 0.0)
    assert found.record.arms == ("a", "b", "c")
    assert (found.record.version, found.record.turn) == (0, 2)
    np.testing.assert_allclose(found.record.beliefs.theta, [arms[each].mean for each in range(3)], atol=1e-6)
    np.testing.assert_allclose(found.record.beliefs.covariance, [arms[each].covariance for each in range(3)], atol=1e-6)
    np.testing.assert_array_equal(found.contexts, [[number / 7, -number / 3] for number in (1, 2, 3)])


async def test_a_turn_that_was_missed_or_told_twice_changes_nothing(pool: Pool, world: World) -> None:
    models = models_of(pool)
    await published(world, models)
    await rewarded(world, 1, 2)
    await rewarded(world, 3, models=models)
    await world.write([event for each in (4, 5) for event in visit(each).events(world.experiment)])
    [turn] = await world.settle()
    assert (await published(world, models)).record.turn == 3
    models.take(turn)
    models.take(turn)
    assert same(await published(world, models), await published(world, models_of(pool)))


async def test_another_process_goes_on_from_the_checkpoint(pool: Pool, world: World) -> None:
    clock = Clock()
    models = models_of(pool, clock)
    await published(world, models)
    await rewarded(world, *range(20), models=models)
    await models.keep(world.lease, world.experiment)
    assert await world.execute("SELECT turn FROM linear_checkpoints") == []
    clock.now += linear_models.CHECKPOINT_SECONDS
    await models.keep(world.lease, world.experiment)
    assert await world.execute("SELECT turn FROM linear_checkpoints") == [(1,)]
    before = await published(world, models)
    # What was dropped after a checkpoint is not needed any more.
    await world.execute("DELETE FROM bandit_events")
    await rewarded(world, 30, 31, models=models)
    after = await published(world, models)
    assert not same(before, after)
    assert same(after, await published(world, models_of(pool)))
    assert len(after.contexts) == 22


async def test_a_checkpoint_is_taken_after_many_outcomes_and_not_again_without_any(
    pool: Pool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_models, "CHECKPOINT_OUTCOMES", 3)
    clock = Clock()
    models = models_of(pool, clock)
    await published(world, models)
    for number, turns in ((1, []), (2, []), (3, [(3,)]), (4, [(3,)]), (5, [(3,)]), (6, [(6,)])):
        await rewarded(world, number, models=models)
        await models.keep(world.lease, world.experiment)
        assert await world.execute("SELECT turn FROM linear_checkpoints") == turns
    await world.execute("DELETE FROM linear_checkpoints")
    clock.now += 2 * linear_models.CHECKPOINT_SECONDS
    await models.keep(world.lease, world.experiment)
    assert await world.execute("SELECT turn FROM linear_checkpoints") == []


async def test_who_lost_the_lease_neither_publishes_nor_keeps(
    pool: Pool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_models, "CHECKPOINT_OUTCOMES", 1)
    models = models_of(pool)
    await published(world, models)
    await rewarded(world, 1, models=models)
    await world.lend(Lease(world.experiment.id, "another", 2))
    with pytest.raises(FencedError):
        await models.models(world.lease, world.experiment)
    with pytest.raises(FencedError):
        await models.keep(world.lease, world.experiment)
    assert await world.execute("SELECT turn FROM linear_checkpoints") == []


async def test_under_another_token_everything_is_read_again(pool: Pool, world: World) -> None:
    """A failover may have lost turns whose numbers were used again."""
    models = models_of(pool)
    await rewarded(world, 1, models=models)
    await published(world, models)
    await world.execute("UPDATE bandit_events SET reward_micro = 999999 WHERE kind = 'outcome'")
    world.lease = Lease(world.experiment.id, "me", 5)
    await world.lend(world.lease)
    assert same(await published(world, models), await published(world, models_of(pool)))


async def test_a_checkpoint_of_another_half_life_is_not_used(
    pool: Pool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_models, "CHECKPOINT_OUTCOMES", 1)
    models = models_of(pool)
    await published(world, models)
    await rewarded(world, 1, 2, models=models)
    await models.keep(world.lease, world.experiment)
    world.experiment = replace(world.experiment, policy=PolicyDefinition("linear_thompson", {"half_life": 60.0}))
    found = await published(world, models)
    assert same(found, await published(world, models_of(pool)))
    assert (found.record.turn, len(found.contexts)) == (1, 2)


async def test_a_ridge_that_is_changed_holds_at_once(pool: Pool, world: World) -> None:
    models = models_of(pool)
    await rewarded(world, 1, models=models)
    before = await published(world, models)
    world.experiment = replace(world.experiment, policy=PolicyDefinition("linear_thompson", {"ridge": 50.0}))
    after = await published(world, models)
    assert np.trace(after.record.beliefs.covariance[2]) < np.trace(before.record.beliefs.covariance[2])


async def test_contexts_that_are_none_of_the_experiment_teach_nothing(pool: Pool, world: World) -> None:
    strange: list[Any] = [[1.0], [1.0, 2.0, 3.0], {"a": 1.0}, [1.0, "x"], [1.0, 1e7]]
    for number, context in enumerate(strange):
        await rewarded(world, number, context=context)
    await rewarded(world, 10)
    models = models_of(pool)
    assert len((await published(world, models)).contexts) == 1


async def test_retired_arms_are_left_out(pool: Pool, world: World) -> None:
    arms = (replace(world.experiment.arms[0], status="retired"), replace(world.experiment.arms[1], status="paused"))
    world.experiment = replace(world.experiment, arms=(*arms, world.experiment.arms[2]), default_arm="c")
    assert (await published(world, models_of(pool))).record.arms == ("b", "c")


async def test_an_experiment_without_contexts_has_no_models(pool: Pool) -> None:
    world = await World.of(pool, new_experiment())
    models = models_of(pool)
    assert await models.models(world.lease, world.experiment) is None
    await rewarded(world, 1, models=models, deferred=True, activated=True)
    await models.keep(world.lease, world.experiment)
    assert await models.record(world.experiment) is None


async def test_a_process_without_the_lease_reads_what_is_committed(pool: Pool, world: World) -> None:
    models = models_of(pool)
    await rewarded(world, 1, 2, models=models)
    record = await models_of(pool).record(world.experiment)
    assert isinstance(record, LinearRecord)
    assert record == (await published(world, models)).record


async def test_only_contexts_of_late_are_kept(pool: Pool, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_models, "_RECENT", 3)
    models = models_of(pool)
    await rewarded(world, *range(5), models=models)
    assert len((await published(world, models)).contexts) == 3


async def test_a_forgotten_experiment_is_read_again(pool: Pool, world: World) -> None:
    models = models_of(pool)
    await rewarded(world, 1, models=models)
    before = await published(world, models)
    models.forget(world.experiment.id)
    assert same(await published(world, models), before)
