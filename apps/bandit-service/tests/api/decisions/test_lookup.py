"""An experiment is found for those who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_core.rules.problems import NotFound, Unavailable
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.domain.api_key import Principal
from bandit_service.ledger.pool import make_pool
from bandit_service.ledger.served import ServedRepository
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.publication import Mirror
from bandit_service.serving.experiment_cache import ExperimentCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AWAY = "postgresql://nobody@127.0.0.1:1/nothing"
EXPERIMENT = Experiment(
    id="shop.homepage",
    namespace="shop",
    status="running",
    revision=1,
    arms=(ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b")),
    default_arm="a",
    created_at=0.0,
)


@pytest.fixture
async def lookup(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[ExperimentLookup]:
    """A lookup that has one experiment in memory. Postgres is away if the test asks for that."""
    dsn = AWAY if "postgres_is_away" in request.fixturenames else request.getfixturevalue("postgres_dsn")
    redis = make_redis(redis_url, timeout=2.0)
    async with make_pool(dsn) as pool:
        cache = ExperimentCache(Mirror(redis), ServedRepository(pool), clock=lambda: 0.0)
        cache.install(EXPERIMENT, None)
        yield ExperimentLookup(cache)
    await redis.aclose()


@pytest.fixture
def postgres_is_away() -> None:
    """Let the lookup have no Postgres."""


async def test_an_experiment_of_a_foreign_namespace_does_not_exist(lookup: ExperimentLookup) -> None:
    with pytest.raises(NotFound, match=r"shop\.homepage"):
        await lookup.served(EXPERIMENT.id, Principal("someone", "admin", "blog"))
    with pytest.raises(NotFound, match="nowhere"):
        await lookup.served("nowhere", Principal("someone", "admin", "*"))


@pytest.mark.usefixtures("postgres_is_away")
async def test_what_is_not_in_memory_is_not_denied_while_postgres_is_away(lookup: ExperimentLookup) -> None:
    with pytest.raises(Unavailable):
        await lookup.served("elsewhere", Principal("someone", "admin", "*"))


async def test_an_arm_that_nobody_knows_yet_is_waited_for(lookup: ExperimentLookup) -> None:
    served = await lookup.served(EXPERIMENT.id, Principal("someone", "writer", "shop"))
    assert await lookup.with_arm(served, 1) is served
    with pytest.raises(Unavailable, match="arm"):
        await lookup.with_arm(served, 2)
