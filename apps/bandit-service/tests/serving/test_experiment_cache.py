"""Experiments are looked up in memory, then in the mirror, then in Postgres; messages and sweeps keep memory fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from redis.asyncio import Redis

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import ArmDefinition, Experiment, FeaturesDefinition, PolicyDefinition
from bandit_core.rules.linear_record import LinearRecord
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.served import Changes, ServedRepository, Stored
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.publication import Mirror, Publish
from bandit_service.serving.experiment_cache import ExperimentCache

if TYPE_CHECKING:
    from conftest import NewExperiment

ID = "homepage"


def experiment(revision: int = 1, **fields: Any) -> Experiment:
    given: dict[str, Any] = {
        "id": ID,
        "namespace": "default",
        "status": "running",
        "revision": revision,
        "arms": (ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b")),
        "default_arm": "a",
        "created_at": 0.0,
    }
    return Experiment(**given | fields)


def record(version: int) -> AllocationRecord:
    halves = {"a": 0.5, "b": 0.5}
    return AllocationRecord(
        version=version,
        revision=1,
        published_at=0.0,
        changed_at=0.0,
        weights=halves,
        prob_best=halves,
        expected_loss=halves,
    )


class Postgres:
    """What the cache asks of Postgres, and how often it was asked. `away` makes it fail."""

    def __init__(self) -> None:
        self.experiment: Experiment | None = None
        self.allocation: AllocationRecord | None = None
        self.timeline = "00000001"
        self.away = False
        self.asked = 0

    async def read(self, experiment_ids: Sequence[str]) -> list[Stored]:
        if not experiment_ids:
            return []
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise PostgresUnavailableError("away")
        return [] if self.experiment is None else [Stored(self.experiment, self.allocation)]

    async def changes(self, _: float) -> Changes:
        if self.away:
            raise PostgresUnavailableError("away")
        found = self.experiment
        version = 0 if self.allocation is None else self.allocation.version
        return Changes(100.0, self.timeline, {} if found is None else {found.id: (found.revision, version)})


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def postgres() -> Postgres:
    return Postgres()


@pytest.fixture
def hand() -> Clock:
    return Clock()


@pytest.fixture
def cache(mirror: Mirror, postgres: Postgres, hand: Clock) -> ExperimentCache:
    return ExperimentCache(mirror, postgres, clock=hand)  # type: ignore[arg-type]


async def define(mirror: Mirror, definition: Experiment, allocation: AllocationRecord | None = None) -> None:
    await mirror.define([definition], anew=True)
    if allocation is not None:
        await mirror.publish([(1, Publish(definition.id, allocation, b"{}"))])


async def test_the_mirror_is_asked_first_and_only_once(
    cache: ExperimentCache, mirror: Mirror, postgres: Postgres
) -> None:
    await define(mirror, experiment(), record(7))
    found = await cache.find(ID)
    assert found is not None
    assert (found.experiment, found.weights_version, postgres.asked) == (experiment(), 7, 0)
    assert await cache.find(ID) is found is cache.get(ID)
    assert cache.all() == [found]


async def test_what_the_mirror_does_not_have_comes_from_postgres_with_the_weights_in_force(
    cache: ExperimentCache, postgres: Postgres
) -> None:
    postgres.experiment, postgres.allocation = experiment(), record(3)
    found = await cache.find(ID)
    assert found is not None
    assert found.weights_version == 3


async def test_without_redis_everything_comes_from_postgres(postgres: Postgres, hand: Clock) -> None:
    away = make_redis("redis://127.0.0.1:1", timeout=0.5)
    cache = ExperimentCache(Mirror(away), postgres, clock=hand)  # type: ignore[arg-type]
    postgres.experiment, postgres.allocation = experiment(), record(3)
    found = await cache.find(ID)
    assert found is not None
    assert found.weights_version == 3
    postgres.allocation = record(4)
    await cache.changed([ID])
    postgres.experiment = experiment(2)
    assert await cache.sweep() == [ID]
    found = cache.get(ID)
    assert found is not None
    assert (found.experiment.revision, found.weights_version) == (2, 4)


async def test_requests_that_wait_at_the_same_time_share_one_look_up(
    cache: ExperimentCache, postgres: Postgres
) -> None:
    postgres.experiment = experiment()
    found = await asyncio.gather(*(cache.find(ID) for _ in range(50)))
    assert len({id(served) for served in found}) == 1
    assert postgres.asked == 1


async def test_what_nobody_knows_is_not_asked_for_again_for_a_second(
    cache: ExperimentCache, postgres: Postgres, hand: Clock
) -> None:
    assert [await cache.find(ID) for _ in range(3)] == [None] * 3
    assert postgres.asked == 1
    hand.now += 1.1
    postgres.experiment = experiment()
    assert await cache.find(ID) is not None


async def test_an_experiment_made_here_is_known_at_once(cache: ExperimentCache) -> None:
    assert await cache.find(ID) is None
    made = cache.install(experiment(), None)
    assert await cache.find(ID) is made


async def test_an_experiment_made_elsewhere_is_known_with_the_message(cache: ExperimentCache, mirror: Mirror) -> None:
    assert await cache.find(ID) is None
    await define(mirror, experiment())
    await cache.changed([ID])
    assert await cache.find(ID) is not None


async def test_an_outage_of_postgres_is_not_taken_for_an_unknown_experiment(
    cache: ExperimentCache, postgres: Postgres
) -> None:
    postgres.away = True
    with pytest.raises(PostgresUnavailableError):
        await cache.find(ID)
    postgres.away, postgres.experiment = False, experiment()
    assert await cache.find(ID) is not None


async def test_an_older_definition_or_version_never_replaces_a_newer_one(
    cache: ExperimentCache, mirror: Mirror
) -> None:
    cache.install(experiment(revision=3, status="paused"), record(5))
    await define(mirror, experiment(revision=2), record(6))
    found = await cache.refresh(ID)
    assert found is not None
    assert (found.experiment.revision, found.experiment.status, found.weights_version) == (3, "paused", 6)
    assert cache.install(experiment(revision=4), record(5)).weights_version == 6


async def test_without_weights_those_in_memory_stay_in_force(cache: ExperimentCache, mirror: Mirror) -> None:
    cache.install(experiment(), record(5))
    await define(mirror, experiment(revision=2))
    found = await cache.refresh(ID)
    assert found is not None
    assert (found.experiment.revision, found.weights_version) == (2, 5)


async def test_a_mirror_that_is_behind_memory_makes_postgres_decide(
    cache: ExperimentCache, mirror: Mirror, postgres: Postgres
) -> None:
    cache.install(experiment(revision=3), record(5))
    await define(mirror, experiment(revision=2), record(4))
    postgres.experiment, postgres.allocation = experiment(revision=3), record(5)
    before = cache.get(ID)
    await cache.changed([ID])
    assert cache.get(ID) is before
    # A failover has lost the third revision.
    postgres.experiment, postgres.allocation = experiment(revision=2, description="lost"), record(4)
    await cache.changed([ID])
    after = cache.get(ID)
    assert after is not None
    assert (after.experiment, after.weights_version) == (postgres.experiment, 4)


async def test_after_a_failover_memory_is_what_postgres_has(cache: ExperimentCache, postgres: Postgres) -> None:
    postgres.experiment, postgres.allocation = experiment(revision=2), record(5)
    assert await cache.sweep() == [ID]
    assert await cache.sweep() == []
    cache.install(experiment(id="lost"), record(1))
    postgres.experiment, postgres.allocation, postgres.timeline = experiment(), record(4), "00000002"
    assert await cache.sweep() == [ID]
    [found] = cache.all()
    assert (found.experiment, found.weights_version) == (experiment(), 4)


async def test_a_change_that_comes_in_while_postgres_is_read_is_not_set_back(
    cache: ExperimentCache, postgres: Postgres
) -> None:
    postgres.experiment, postgres.allocation = experiment(), record(1)
    loading = asyncio.create_task(cache.load([ID]))
    await asyncio.sleep(0)
    cache.install(experiment(revision=2), record(2))
    await loading
    found = cache.get(ID)
    assert found is not None
    assert (found.experiment.revision, found.weights_version) == (2, 2)


async def test_models_come_from_postgres_where_the_mirror_has_none(
    mirror: Mirror, postgres: Postgres, hand: Clock
) -> None:
    contextual = experiment(policy=PolicyDefinition("linucb"), context=FeaturesDefinition(dimension=1))
    computed = LinearRecord(version=0, turn=3, arms=("a", "b"), theta=bytes(32), covariance=bytes(64))

    async def models(_: Experiment) -> LinearRecord:
        return computed

    cache = ExperimentCache(mirror, postgres, linear=models, clock=hand)  # type: ignore[arg-type]
    postgres.experiment, postgres.allocation = contextual, record(6)
    await cache.load([ID])
    found = cache.get(ID)
    assert found is not None
    assert found.linear == msgspec.structs.replace(computed, version=6)
    published = msgspec.structs.replace(computed, version=7, turn=9)
    await mirror.publish([(1, Publish(ID, record(7), b"{}", published))])
    postgres.allocation = record(7)
    await cache.sweep()
    found = cache.get(ID)
    assert found is not None
    assert found.linear == published


async def test_a_process_that_starts_knows_everything_at_once_and_sweeps_what_changes(
    pool: Pool, mirror: Mirror, new_experiment: NewExperiment, hand: Clock
) -> None:
    made = [await new_experiment(f"x{number:03d}") for number in range(3)]
    await new_experiment("gone", status="archived")
    cache = ExperimentCache(mirror, ServedRepository(pool), clock=hand)
    await cache.load_all()
    assert {each.experiment.id: each.experiment for each in cache.all()} == {each.id: each for each in made}
    # What has changed of late is read once more: it may have been committed late.
    assert await cache.sweep() == ["gone"]
    assert await cache.sweep() == []

    def paused(before: Experiment) -> Experiment:
        return msgspec.structs.replace(before, status="paused")

    await ExperimentsRepository(pool).change("x001", paused, lambda *_: {}, Reason("test", "test", 0.0))
    await new_experiment("x003")
    assert sorted(await cache.sweep()) == ["x001", "x003"]
    assert await cache.sweep() == []
    found = cache.get("x001")
    assert found is not None
    assert found.experiment.status == "paused"


async def test_a_process_that_starts_while_postgres_is_away_knows_what_is_mirrored(
    cache: ExperimentCache, mirror: Mirror, redis_client: Redis, postgres: Postgres
) -> None:
    postgres.away = True
    await define(mirror, experiment(), record(2))
    await define(mirror, experiment(id="other"))
    await redis_client.delete(ExperimentKeys("other").definition)
    await cache.load_all()
    assert [(each.experiment.id, each.weights_version) for each in cache.all()] == [(ID, 2)]
    assert cache.has_started
