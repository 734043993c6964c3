"""A real bandit-service with real stores, started once, which asks for API keys."""

from __future__ import annotations

import asyncio
import base64
import itertools
import secrets
import sysconfig
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess
from bandit_local.testing.servers import MIGRATED, NewDatabase
from bandit_sdk import AsyncClient, AwayError, Client
from bandit_service.domain.api_key import Role, new_key
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.pool import make_pool

PROGRAM = Path(sysconfig.get_path("scripts")) / "bandit-service"
ROLES: tuple[Role, ...] = ("reader", "writer", "admin")
_experiment_numbers = itertools.count(1)


@dataclass(frozen=True)
class Service:
    """A process of bandit-service, and a key for each role."""

    url: str
    keys: dict[str, str]

    def client(self, role: str = "admin") -> Client:
        return Client(self.url, api_key=self.keys[role], timeout=10.0)


@pytest.fixture(scope="session")
def service(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with RedisServer(folder / "redis", options={"appendonly": "no"}) as redis, new_database(MIGRATED) as dsn:
        keys: dict[str, str] = {role: asyncio.run(_added_key(dsn, role)) for role in ROLES}
        port = free_port()
        environment = {
            "BANDIT_REDIS_URL": redis.url,
            "BANDIT_POSTGRES_DSN": dsn,
            "BANDIT_SIGNING_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "BANDIT_AUTH_REQUIRED": "true",
            "BANDIT_PORT": str(port),
        }
        process = ChildProcess([PROGRAM, "serve"], folder / "service.log", environment=environment)
        try:
            url = f"http://{HOST}:{port}"
            _wait_until_ready(process, url)
            yield Service(url, keys)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[Client]:
    """An admin's client."""
    with service.client() as client:
        yield client


@pytest.fixture
async def async_client(service: Service) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(service.url, api_key=service.keys["admin"], timeout=10.0) as client:
        yield client


NewExperiment = Callable[..., str]


@pytest.fixture(scope="session")
def new_experiment(client: Client) -> NewExperiment:
    """Return a function that creates an experiment, waits until it has weights, and returns its id."""

    def create(*arms: str, **fields: object) -> str:
        name = f"sdk-{next(_experiment_numbers)}"
        client.experiments.create(name, arms=arms or ("a", "b"), **fields)
        wait_until(lambda: _has_weights(client, name))
        return name

    return create


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_260_101)


def wait_until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for what a process does by itself."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def _has_weights(client: Client, experiment_id: str) -> bool:
    try:
        client.allocation(experiment_id)
    except AwayError:
        return False
    return True


def _wait_until_ready(process: ChildProcess, url: str) -> None:
    def ready() -> bool:
        assert process.running, process.log_tail()
        try:
            return httpx.get(f"{url}/ready", timeout=2).is_success
        except httpx.TransportError:
            return False

    wait_until(ready, 90.0)


async def _added_key(dsn: str, role: Role) -> str:
    text, key = new_key(f"the tests' {role}", role, "*", secrets.token_bytes)
    async with make_pool(dsn) as pool:
        await ApiKeysRepository(pool).add(key)
    return text
