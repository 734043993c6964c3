"""Any order, repetition and batching of events adds up to the same, as an independent fold has it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit_core.linear_sums import LinearSums
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.selection import Stratum
from bandit_core.rules.vectors import linear_prior_of
from bandit_service.allocation.linear_models import LinearModels
from bandit_service.ledger.linear_outcomes import LinearOutcomes
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.ledger.totals import TotalsRepository

from .decisions import END_MS, START_MS, Decision, Expected, World, expected, new_experiment


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


STRATA: tuple[Stratum, ...] = ("bandit", "bandit", "bandit", "bandit", "holdout", "paused", "concluded", "direct")


@st.composite
def decisions(draw: st.DrawFn) -> list[Decision]:
    found = []
    for number in range(draw(st.integers(1, 14))):
        stratum: Stratum = draw(st.sampled_from(STRATA))
        is_direct = stratum == "direct"
        deferred = not is_direct and draw(st.booleans())
        found.append(
            Decision(
                number,
                arm=draw(st.integers(0, 2)),
                stratum=stratum,
                at_ms=START_MS + draw(st.integers(0, 2_500)),
                deferred=deferred,
                arrives=is_direct or draw(st.integers(0, 4)) > 0,
                activated=deferred and draw(st.booleans()),
                reward=draw(
                    st.integers(0, 1_000_000)
                    if is_direct
                    else st.none() | st.just("ignored") | st.integers(0, 1_000_000)
                ),
                segment=draw(st.sampled_from([None, "de", "fr"])),
                context=draw(st.none() | st.lists(st.integers(-3, 3).map(lambda n: n / 7), min_size=2, max_size=2)),
                unit=draw(st.none() | st.integers(0, 3).map(lambda n: f"{n:032x}")),
                weights_version=draw(st.integers(1, 2)),
            )
        )
    return found


@pytest.mark.parametrize("contextual", [False, True])
@pytest.mark.parametrize("missing_reward", ["ignore", "zero"])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(told=decisions(), seed=st.integers(0, 2**32))
async def test_any_order_repetition_and_batching_adds_up_to_the_same(
    pool: Pool,
    contextual: bool,  # noqa: FBT001
    missing_reward: Any,
    told: list[Decision],
    seed: int,
) -> None:
    chance = random.Random(seed)
    experiment = new_experiment(contextual=contextual, missing_reward=missing_reward)
    world = await World.of(pool, experiment, most_rows=chance.randint(1, 3), most_decisions=chance.randint(1, 5))
    models = LinearModels(LinearOutcomes(pool), clock=lambda: 0.0)
    events = [event for decision in told for event in decision.events(experiment)]
    events += chance.choices(events, k=len(events) // 2) if events else []
    chance.shuffle(events)
    while events:
        size = chance.randint(1, 8)
        await world.write(events[:size], slot=chance.randint(0, 2))
        del events[:size]
        if chance.random() < 0.5:
            turn = await world.settling.settle(world.lease, experiment)
            if chance.random() < 0.7:
                models.take(turn)
        if chance.random() < 0.2:
            await models.models(world.lease, experiment)
    await world.settle()
    await world.close()
    found = expected(experiment, told)
    assert await world.totals() == found.rows()
    assert await world.totals("folded_events") == found.rows()
    assert await world.left() == (0, 0)
    assert [turn.outcomes for turn in [*await world.settle(), *await world.close(END_MS)]] == [(), ()]
    await _check_models(world, models, found)
    read = (await TotalsRepository(pool).read([experiment.id])).totals[experiment.id]
    assert sum(read.rewards.values()) == sum(
        len(rewards) for (_, stratum, *_), rewards in found.rewards.items() if stratum in ("bandit", "direct")
    )


async def _check_models(world: World, models: LinearModels, found: Expected) -> None:
    """The models learnt turn by turn, those read at once, and the sums of what was told are the same to the bit."""
    experiment = world.experiment
    if not experiment.is_contextual:
        assert await models.models(world.lease, experiment) is None
        return
    learnt = await models.models(world.lease, experiment)
    read = await LinearModels(LinearOutcomes(world.pool), clock=lambda: 0.0).models(world.lease, experiment)
    assert learnt is not None
    assert read is not None
    theta = np.array([_sums(experiment, found, arm.index) for arm in experiment.arms])
    assert learnt.record.theta == read.record.theta == theta.tobytes()
    assert learnt.record.covariance == read.record.covariance
    assert len(learnt.contexts) == len(found.learnt)


def _sums(experiment: Experiment, found: Expected, arm_index: int) -> Any:
    prior = linear_prior_of(experiment)
    sums = LinearSums.of(prior)
    for arm, context, reward, at_ms in found.learnt:
        if arm == arm_index:
            sums = sums.plus(np.array([[*context, 1.0]]), np.array([reward]), np.array([at_ms / 1_000]))
    return sums.model(prior, 0.0).mean
