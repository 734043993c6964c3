"""The four stores, each able to open what it keeps a second time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from bandit_local.testing.servers import EMPTY, NewDatabase
from bandit_sdk.learning import JsonLearningStore, LearningStore, MemoryLearningStore, SqliteLearningStore
from bandit_sdk.learning.postgres import PostgresLearningStore

OpenStore = Callable[[], LearningStore]


@pytest.fixture(scope="session")
async def pool(new_database: NewDatabase) -> AsyncIterator[AsyncConnectionPool[Any]]:
    with new_database(EMPTY) as dsn:
        async with AsyncConnectionPool(dsn, min_size=1, max_size=4, open=False) as pool:
            yield pool


@pytest.fixture(params=["memory", "json", "sqlite", "postgres"])
async def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, pool: AsyncConnectionPool[Any]
) -> AsyncIterator[OpenStore]:
    """Return a function that opens the store once more, as another process would."""
    opened: list[LearningStore] = []
    match request.param:
        case "memory":
            kept = MemoryLearningStore()
            make: OpenStore = lambda: kept  # noqa: E731
        case "json":
            make = lambda: JsonLearningStore(tmp_path / "learners.json")  # noqa: E731
        case "sqlite":
            make = lambda: SqliteLearningStore(tmp_path / "learners.db")  # noqa: E731
        case _:
            async with pool.connection() as connection:
                await connection.execute("DROP TABLE IF EXISTS bandit_learner_arms, bandit_learner_observations")
            make = lambda: PostgresLearningStore(pool)  # noqa: E731

    def remembered() -> LearningStore:
        opened.append(make())
        return opened[-1]

    yield remembered
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> LearningStore:
    store = open_store()
    await store.initialize()
    return store
