"""Real servers for every test: one Redis and one Postgres a session, an empty database each a test."""

import base64
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service import migrations
from bandit_service.app import create_app
from bandit_service.redis_store.store import RedisStore
from bandit_service.settings import Settings

_TEMPLATE = "migrated"
_database_numbers = itertools.count(1)

StartService = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    options = {"fsync": "off", "synchronous_commit": "off", "max_connections": "200"}
    with PostgresServer(tmp_path_factory.mktemp("postgres"), options=options) as server:
        migrations.upgrade(server.create_database(_TEMPLATE))
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def empty_postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A Postgres database without any table."""
    name = f"empty_{next(_database_numbers)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A migrated, empty Postgres database."""
    name = f"test_{next(_database_numbers)}"
    yield postgres_server.create_database(name, template=_TEMPLATE)
    postgres_server.drop_database(name)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_url, timeout=2.0)
    yield store
    await store.close()


@pytest.fixture(scope="session")
def signing_key() -> str:
    return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


@pytest.fixture
def settings(redis_url: str, postgres_dsn: str, signing_key: str) -> Settings:
    return Settings(redis_url=redis_url, postgres_dsn=postgres_dsn, signing_keys=signing_key, log_level="warning")


class Clock:
    """A clock that tests can move ahead of the real one."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start_service(settings: Settings, clock: Clock) -> StartService:
    """Return a function that runs a replica in this process: `async with start_service() as client`."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(settings.model_copy(update=changes), clock=clock, rng=np.random.default_rng(7))
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as client,
        ):
            yield client

    return start


@pytest.fixture
async def client(start_service: StartService) -> AsyncIterator[httpx.AsyncClient]:
    """A replica that runs, with authentication off."""
    async with start_service() as client:
        yield client


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path
