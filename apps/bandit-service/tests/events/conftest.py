"""An experiment on a real Redis and a real Postgres, for tests of the event flow."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bandit_service.domain.experiment import ArmDefinition, Experiment
from bandit_service.ledger.events import EventLog
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.redis_store.store import RedisStore

from .rig import ID, Rig, processes


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    pool = make_pool(postgres_dsn, max_size=4)
    await pool.open(wait=True)
    yield pool
    await pool.close()


@pytest.fixture
def definition() -> dict[str, Any]:
    """What a test module wants other than usual in its experiment."""
    return {}


@pytest.fixture
async def rig(redis_url: str, store: RedisStore, pool: Pool, definition: dict[str, Any]) -> AsyncIterator[Rig]:
    fields: dict[str, Any] = {
        "id": ID,
        "namespace": "default",
        "status": "running",
        "revision": 1,
        "arms": (ArmDefinition(0, "a"), ArmDefinition(1, "b", 2_500_000, 30_000_000)),
        "default_arm": "a",
        "created_at": time.time(),
        "salt": "00" * 16,
    }
    repository = ExperimentsRepository(pool)
    draft = Experiment(**fields | definition)
    experiment = await repository.create(draft, Reason("test", "test", time.time()), unit_salt=b"0" * 16)
    events = EventLog(pool)
    async with (
        redis.asyncio.Redis.from_url(redis_url, retry=Retry(NoBackoff(), 3)) as client,
        processes(redis_url, store, events, repository) as start,
    ):
        yield Rig(store, events, pool, experiment, start, client)
