"""Experiments are looked up in memory, then in the store, then in Postgres; the newest definition wins."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bandit_service.domain.allocation import AllocationRecord, encode_allocation
from bandit_service.domain.experiment import ArmDefinition, Experiment
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.directory import Directory

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
        epoch=1,
        revision=1,
        belief_version=1,
        seq=1,
        published_at=0.0,
        changed_at=0.0,
        weights=halves,
        prob_best=halves,
        expected_loss=halves,
    )


class Postgres:
    """What the directory asks of Postgres, and how often it was asked. `away` makes it fail."""

    def __init__(self) -> None:
        self.experiment: Experiment | None = None
        self.allocation: AllocationRecord | None = None
        self.away = False
        self.asked = 0

    async def definition(self, _: str) -> Experiment | None:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise PostgresUnavailableError("away")
        return self.experiment

    async def last_allocation(self, _: str) -> AllocationRecord | None:
        return self.allocation


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
def directory(store: RedisStore, postgres: Postgres, hand: Clock) -> Directory:
    return Directory(store, definition=postgres.definition, last_allocation=postgres.last_allocation, clock=hand)


async def define(store: RedisStore, definition: Experiment, allocation: AllocationRecord | None = None) -> None:
    await store.define(definition.id, definition.revision, msgspec.json.encode(definition), definition.priors)
    if allocation is not None:
        await store.client.set(ExperimentKeys(definition.id).allocation, encode_allocation(allocation))


async def test_the_store_is_asked_first_and_only_once(
    directory: Directory, store: RedisStore, postgres: Postgres
) -> None:
    await define(store, experiment(), record(7))
    found = await directory.find(ID)
    assert found is not None
    assert (found.experiment, found.weights_version, postgres.asked) == (experiment(), 7, 0)
    assert await directory.find(ID) is found is directory.get(ID)
    assert directory.all() == [found]


async def test_what_the_store_does_not_have_comes_from_postgres_with_its_last_weights(
    directory: Directory, postgres: Postgres
) -> None:
    postgres.experiment, postgres.allocation = experiment(), record(3)
    found = await directory.find(ID)
    assert found is not None
    assert found.weights_version == 3


async def test_requests_that_wait_at_the_same_time_share_one_look_up(directory: Directory, postgres: Postgres) -> None:
    postgres.experiment = experiment()
    found = await asyncio.gather(*(directory.find(ID) for _ in range(50)))
    assert len({id(serving) for serving in found}) == 1
    assert postgres.asked == 1


async def test_what_nobody_knows_is_not_asked_for_again_for_a_second(
    directory: Directory, postgres: Postgres, hand: Clock
) -> None:
    assert [await directory.find(ID) for _ in range(3)] == [None] * 3
    assert postgres.asked == 1
    hand.now += 1.1
    postgres.experiment = experiment()
    assert await directory.find(ID) is not None


async def test_an_experiment_made_here_is_known_at_once(directory: Directory) -> None:
    assert await directory.find(ID) is None
    made = directory.install(experiment(), None)
    assert await directory.find(ID) is made


async def test_an_outage_of_postgres_is_not_taken_for_an_unknown_experiment(
    directory: Directory, postgres: Postgres
) -> None:
    postgres.away = True
    with pytest.raises(PostgresUnavailableError):
        await directory.find(ID)
    postgres.away, postgres.experiment = False, experiment()
    assert await directory.find(ID) is not None


async def test_an_older_definition_never_replaces_a_newer_one(directory: Directory, store: RedisStore) -> None:
    directory.install(experiment(revision=3, status="paused"), record(5))
    await define(store, experiment(revision=2), record(6))
    found = await directory.refresh(ID)
    assert found is not None
    assert (found.experiment.revision, found.experiment.status, found.weights_version) == (3, "paused", 6)


async def test_without_weights_those_in_memory_stay_in_force(directory: Directory, store: RedisStore) -> None:
    directory.install(experiment(), record(5))
    await define(store, experiment(revision=2))
    found = await directory.refresh(ID)
    assert found is not None
    assert (found.experiment.revision, found.weights_version) == (2, 5)
