"""A real bandit-service with real stores, which asks for API keys and may be killed."""

from __future__ import annotations

import asyncio
import base64
import itertools
import secrets
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess
from bandit_local.testing.servers import MIGRATED, NewDatabase
from bandit_router.client import open_client
from bandit_sdk import Client
from bandit_service.domain.api_key import Role, new_key
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.pool import make_pool

PROGRAM = Path(sysconfig.get_path("scripts")) / "bandit-service"
KEYS: tuple[Role, Role] = ("admin", "writer")
_experiment_numbers = itertools.count(1)


@dataclass
class Service:
    """One process of bandit-service, started as in a cluster, and a key each for its admin and for the router."""

    environment: dict[str, str]
    log: Path
    admin_key: str
    router_key: str
    port: int = field(default_factory=free_port)
    process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.admin_key}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=10)
        assert answer.is_success, answer.text
        return answer.json()

    def create(self, *arms: str, **fields: Any) -> str:
        """Create an experiment, wait until it has weights, and return its id."""
        name = f"router-{next(_experiment_numbers)}"
        self.ask("POST", "/experiments", {"experiment_id": name, "arms": arms or ("worse", "better")} | fields)
        wait_until(lambda: self._has_weights(name))
        return name

    def rewards(self, experiment_id: str) -> dict[str, tuple[float, float]]:
        """Return what rewards added to alpha and to beta, whose prior is Beta(1, 1), by arm."""
        arms = self.ask("GET", f"/experiments/{experiment_id}/posterior")["arms"]
        return {arm["arm"]: (round(arm["alpha"] - 1, 6), round(arm["beta"] - 1, 6)) for arm in arms}

    def start(self) -> None:
        environment = self.environment | {"BANDIT_PORT": str(self.port)}
        self.process = process = ChildProcess([PROGRAM, "serve"], self.log, environment=environment)
        wait_until(lambda: self._is_ready(process))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process = None

    def _is_ready(self, process: ChildProcess) -> bool:
        assert process.running, process.log_tail()
        try:
            return httpx.get(f"{self.url}/ready", timeout=2).is_success
        except httpx.TransportError:
            return False

    def _has_weights(self, name: str) -> bool:
        path = f"{self.url}/experiments/{name}/allocation"
        return httpx.get(path, headers={"X-Api-Key": self.admin_key}, timeout=10).is_success


def wait_until(holds: Callable[[], object], seconds: float = 90.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def service_process(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("router")
    with RedisServer(folder / "redis", options={"appendonly": "no"}) as redis, new_database(MIGRATED) as dsn:
        environment = {
            "BANDIT_REDIS_URL": redis.url,
            "BANDIT_POSTGRES_DSN": dsn,
            "BANDIT_SIGNING_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "BANDIT_AUTH_REQUIRED": "true",
        }
        admin_key, router_key = (asyncio.run(added_key(dsn, role)) for role in KEYS)
        service = Service(environment, folder / "service.log", admin_key, router_key)
        service.start()
        yield service
        if service.process is not None:
            service.process.kill()


@pytest.fixture
def service(service_process: Service) -> Service:
    """The service, running again if a test killed it."""
    if service_process.process is None:
        service_process.start()
    return service_process


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait for what a process does by itself."""
    return wait_until


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with open_client(service.url, timeout=10, api_key=service.router_key) as client:
        yield client


async def added_key(dsn: str, role: Role) -> str:
    text, key = new_key("a test", role, "*", secrets.token_bytes)
    async with make_pool(dsn) as pool:
        await ApiKeysRepository(pool).add(key)
    return text
