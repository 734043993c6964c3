"""Reports read the ledger, and what the mirror has while Postgres is away; `as_of` says how old that is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from bandit_core.allocation import ArmState, allocate
from bandit_core.guardrails import Guardrails
from bandit_core.policies import make_policy
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import StoppingDefinition
from bandit_core.rules.problems import Unavailable
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.domain.totals import Totals
from bandit_service.ledger.leases import LeasesRepository
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.weights import NewWeights, WeightsRepository
from bandit_service.mirror.publication import Mirror, Publish
from bandit_service.results.report import Reports

if TYPE_CHECKING:
    from conftest import NewExperiment

ALLOCATION = allocate(
    arms=[ArmState("a", 1.0, 1.0, 0), ArmState("b", 3.0, 5.0, 0)],
    policy=make_policy("thompson", {}),
    guardrails=Guardrails(min_trials=0, max_step=1.0, min_weight=0.05, cooldown=0.0),
    previous=None,
    seconds_since_change=None,
)
RECORD = AllocationRecord(
    version=1,
    revision=1,
    published_at=100.0,
    changed_at=100.0,
    weights=ALLOCATION.weights,
    prob_best={"a": 0.5, "b": 0.5},
    expected_loss={"a": 0.1, "b": 0.1},
)


@pytest.fixture
async def away() -> AsyncIterator[Pool]:
    async with make_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0) as pool:
        yield pool


def reports(pool: Pool, mirror: Mirror) -> Reports:
    async def caught_up(_: str, __: float) -> None:
        """Nothing is on its way."""

    return Reports(
        totals=TotalsRepository(pool),
        weights=WeightsRepository(pool),
        mirror=mirror,
        clock=time.time,
        caught_up=caught_up,
    )


async def test_the_ledger_is_read_while_it_answers(pool: Pool, mirror: Mirror, new_experiment: NewExperiment) -> None:
    experiment = await new_experiment("x", stopping=StoppingDefinition())
    lease = await LeasesRepository(pool, holder="one").take("x", 5.0)
    assert lease is not None
    new = NewWeights.of(lease, RECORD, ALLOCATION.explanation)
    published = (await WeightsRepository(pool).publish([new]))["x"]
    await mirror.totals([(1, experiment, Totals(rewards={0: 50}, reward_micro={0: 50_000_000}, as_of=50.0))])
    served = ServedExperiment(experiment, published)
    found = reports(pool, mirror)
    posterior = await found.posterior(served)
    assert posterior.as_of == pytest.approx(time.time(), abs=60.0)
    assert [arm.alpha for arm in posterior.arms] == [1.0, 3.0]
    assert (await found.conclusion(served)).as_of >= posterior.as_of
    allocation = await found.allocation(served)
    assert (allocation.weights_version, allocation.summary) == (1, ALLOCATION.explanation.paragraph())


async def test_while_postgres_is_away_the_mirrors_copy_is_shown_with_its_age(
    away: Pool, mirror: Mirror, new_experiment: NewExperiment
) -> None:
    experiment = await new_experiment("x", stopping=StoppingDefinition())
    served, found = ServedExperiment(experiment, RECORD), reports(away, mirror)
    for ask in (found.posterior, found.conclusion, found.allocation):
        with pytest.raises(Unavailable):
            await ask(served)
    await mirror.totals([(1, experiment, Totals(rewards={0: 50}, reward_micro={0: 50_000_000}, as_of=50.0))])
    await mirror.publish([(1, Publish("x", RECORD, b'{"weights": {}}'))])
    posterior = await found.posterior(served)
    assert (posterior.as_of, posterior.arms[0].alpha, posterior.arms[0].beta) == (50.0, 51.0, 1.0)
    assert (await found.conclusion(served)).as_of == 50.0


async def test_while_both_are_away_the_answer_is_that_it_is_unavailable(
    away: Pool, mirror: Mirror, redis_client: Redis, new_experiment: NewExperiment
) -> None:
    experiment = await new_experiment("x")
    redis_client.connection_pool.connection_kwargs["port"] = 1
    await redis_client.connection_pool.disconnect()
    with pytest.raises(Unavailable):
        await reports(away, mirror).posterior(ServedExperiment(experiment, None))
