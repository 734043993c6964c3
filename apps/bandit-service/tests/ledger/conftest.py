"""An experiment in Postgres, and its event log."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from bandit_service.domain.experiment import ArmDefinition, Experiment
from bandit_service.ledger.events import EventLog
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool, make_pool

ID = "homepage"


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


@pytest.fixture
async def log(pool: Pool) -> EventLog:
    """The event log, with one experiment of two arms."""
    experiment = Experiment(
        id=ID,
        namespace="default",
        status="running",
        revision=1,
        arms=(ArmDefinition(0, "a"), ArmDefinition(1, "b", 3, 5)),
        default_arm="a",
        created_at=time.time(),
    )
    await ExperimentsRepository(pool).create(experiment, Reason("test", "test", time.time()), unit_salt=b"0" * 16)
    return EventLog(pool)
