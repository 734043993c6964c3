"""Operations are handed in, and a caller who must know the outcome is told when there is none."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from bandit_service.api.decisions.intake import Intake
from bandit_service.domain.api_key import Principal
from bandit_service.domain.event import EventRecord
from bandit_service.domain.experiment import ArmDefinition, Experiment
from bandit_service.domain.problems import NotFound, TooMany, Unavailable
from bandit_service.events.committer import Committer, Limits
from bandit_service.events.lane import Lane
from bandit_service.events.operations import UNRECORDED, Decide
from bandit_service.redis_store.clock import StoreClock
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.directory import Directory
from bandit_service.serving.serving import Serving

EXPERIMENT = Experiment(
    id="shop.homepage",
    namespace="shop",
    status="running",
    revision=1,
    arms=(ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b")),
    default_arm="a",
    created_at=0.0,
)


async def _nothing(_: str) -> None:
    return None


async def _at_once(_: Lane) -> None:
    return None


@pytest.fixture
async def intake(store: RedisStore, redis_url: str) -> AsyncIterator[Intake]:
    """An intake whose committer takes two operations and never gets to commit them."""
    connection = PipelinedConnection(redis_url, timeout=1.0)
    directory = Directory(store, definition=_nothing, last_allocation=_nothing, clock=time.time)
    directory.install(EXPERIMENT, None)
    committer = Committer(
        connection,
        producer="process-1",
        clock=StoreClock(time.time),
        limits=Limits(waiting=2),
        on_reply=lambda _lane, _reply: None,
        on_doubt=lambda _lane: None,
    )
    yield Intake(directory=directory, committer=committer, settled=_at_once)
    await connection.close()


@pytest.fixture
async def serving(intake: Intake) -> Serving:
    return await intake.serving(EXPERIMENT.id, Principal("someone", "writer", "shop"))


def an_operation() -> Decide:
    now = round(time.time() * 1_000)
    return Decide(EventRecord("d", now, now, 0, "bandit"), counter="d:")


async def test_an_experiment_of_a_foreign_namespace_does_not_exist(intake: Intake) -> None:
    with pytest.raises(NotFound, match=r"shop\.homepage"):
        await intake.serving(EXPERIMENT.id, Principal("someone", "admin", "blog"))
    with pytest.raises(NotFound, match="nowhere"):
        await intake.serving("nowhere", Principal("someone", "admin", "*"))


async def test_beyond_its_room_a_caller_is_refused_or_does_without(intake: Intake, serving: Serving) -> None:
    intake.lane(serving).epoch = 1
    for _ in range(2):
        intake.submit(an_operation(), serving)
    with pytest.raises(TooMany):
        intake.submit(an_operation(), serving)
    assert intake.try_submit(an_operation(), serving) is None


async def test_without_the_store_there_is_no_outcome(intake: Intake, serving: Serving) -> None:
    future = intake.submit(an_operation(), serving)
    assert future.result() == UNRECORDED
    with pytest.raises(Unavailable):
        await intake.outcome(future)
