"""A whole platform that a test can break: Redis, Postgres and service processes of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, LiteralString
from urllib.parse import urlsplit

import httpx
import psycopg
import redis

from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.servers.local_server import HOST, LocalServer, free_port
from bandit_local.servers.process import ChildProcess

from .proxy import Proxy

ARMS = ("a", "b", "c")
# Longer than a heartbeat that Postgres does not answer takes to fail, twice.
LEASE_SECONDS = 4.0
READY_WITHIN = 60.0
_experiment_numbers = itertools.count(1)


@dataclass
class Service:
    """One process of the service, started as in a cluster; it reaches each store through a proxy."""

    log_file: Path
    environment: dict[str, str]
    redis: Proxy
    postgres: Proxy
    port: int = field(default_factory=free_port)
    process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.running

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        command: list[str | Path] = [
            Path(sys.executable).with_name("bandit-service"),
            "serve",
            "--port",
            str(self.port),
        ]
        self.process = ChildProcess(command, self.log_file, environment=self.environment)

    def wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            assert self.is_running, self.process.log_tail()
            assert time.monotonic() < deadline, self.process.log_tail()
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        assert self.process is not None
        self.process.kill()

    def terminate(self) -> int:
        """Ask it to finish (SIGTERM), and return its exit code."""
        assert self.process is not None
        return self.process.stop()

    def degraded(self) -> list[str]:
        """Return the parts that do not do their work, as the process says of itself."""
        try:
            answer = httpx.get(f"{self.url}/ready", timeout=2.0)
        except httpx.TransportError:
            return ["all"]
        found: list[str] = answer.json()["degraded"]
        return found if answer.is_success else [*found, "serving"]

    def complaints(self) -> list[str]:
        """Return the lines of its log that say that something is wrong, and what stands there without being a line."""
        return [line for line in self.log_file.read_text().splitlines() if '"level": "info"' not in line]

    def _is_ready(self) -> bool:
        return not self.degraded()


class Platform:
    """What runs, and what a test may do to it.

    `redis` and `postgres` are the servers that a failover leads from, `dsn` leads a test past the proxies. `pooler`
    stands between the services and Postgres, if there is one.
    """

    def __init__(
        self, redis: RedisServer, postgres: PostgresServer, services: list[Service], pooler: LocalServer | None = None
    ) -> None:
        self.redis = redis
        self.postgres = postgres
        self.dsn = postgres.dsn
        self.services = services
        self._pooler = pooler
        self._store_url = redis.url

    @property
    def urls(self) -> list[str]:
        return [service.url for service in self.services]

    @property
    def proxies(self) -> list[Proxy]:
        """The links to Redis."""
        return [service.redis for service in self.services]

    @property
    def postgres_proxies(self) -> list[Proxy]:
        return [service.postgres for service in self.services]

    def mend(self) -> None:
        """Start whatever an earlier test left lying, and lead every service to the one Redis and the one Postgres."""
        for server in (self.redis, self.postgres):
            if not server.running:
                server.kill()
                server.start()
        self._store_url = self.redis.url
        led = [(proxy, self.redis.port) for proxy in self.proxies]
        led += [(proxy, (self._pooler or self.postgres).port) for proxy in self.postgres_proxies]
        for proxy, port in led:
            was_elsewhere = proxy.target != port
            proxy.mend(port)
            if was_elsewhere:
                proxy.cut()
        for service in self.services:
            if not service.is_running:
                service.start()
        for service in self.services:
            service.wait_until_ready()

    def end(self) -> None:
        """End the services; what they still had to say is not waited for."""
        for service in self.services:
            if service.is_running:
                service.kill()
            service.redis.end()
            service.postgres.end()

    def store(self) -> redis.Redis:
        return redis.Redis.from_url(self._store_url, decode_responses=True)

    def rows(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query, parameters).fetchall()

    async def create(self, **fields: Any) -> str:
        """Create an experiment, wait until every service has weights for it, and return its id."""
        name = f"experiment-{next(_experiment_numbers)}"
        body = {"experiment_id": name, "arms": list(ARMS)} | fields
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.post(f"{self.urls[0]}/experiments", json=body)
            assert answer.status_code == 201, answer.text
            for url in self.urls:
                await _until_served(client, f"{url}/experiments/{name}/allocation")
        return name

    def crash_redis(self) -> None:
        """Kill Redis and start it again from its append-only file."""
        self.redis.kill()
        self.redis.start()

    def empty_redis(self) -> None:
        """Kill Redis and start it with nothing."""
        self.redis.kill()
        shutil.rmtree(self.append_only_file.parent)
        self.redis.start()

    def age_redis(self, size: int) -> None:
        """Kill Redis and start it from its append-only file as it was when it had that size."""
        self.redis.kill()
        os.truncate(self.append_only_file, size)
        self.redis.start()

    @property
    def append_only_file(self) -> Path:
        """The file that takes the commands. Beside it lie a manifest and a snapshot of what was there at the start."""
        [file] = self.redis.data_dir.glob("appendonlydir/*.incr.aof")
        return file

    @contextmanager
    def standby(self, folder: Path) -> Iterator[RedisServer]:
        """Run a second Redis that follows the first one."""
        folder.mkdir(mode=0o700)
        shutil.copy(self.redis.data_dir / "password", folder / "password")
        password = urlsplit(self.redis.url).password or ""
        with (
            RedisServer(folder, options={"masterauth": password}) as server,
            redis.Redis.from_url(server.url, decode_responses=True) as client,
        ):
            client.execute_command("REPLICAOF", HOST, self.redis.port)
            deadline = time.monotonic() + 10.0
            while client.info("replication").get("master_link_status") != "up":
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield server

    def fail_over(self, server: RedisServer) -> None:
        """Make the second Redis the one that counts; the services reach it once they are led there."""
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        self._store_url = server.url

    def configure_redis(self, **settings: str) -> None:
        with self.store() as client:
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)

    @contextmanager
    def writers_held_back(self) -> Iterator[None]:
        """Keep every writer waiting: decisions pile up in the spool, and rewards are queued in it."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("LOCK TABLE bandit_events IN EXCLUSIVE MODE")
            yield


@contextmanager
def running_platform(
    folder: Path,
    redis: RedisServer,
    postgres: PostgresServer,
    signing_key: str,
    *,
    services: int = 2,
    pooler: LocalServer | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Platform]:
    """Run processes of the service on a Redis and a Postgres; `settings` are further ones of theirs, by their names."""
    started = []
    for number in range(1, services + 1):
        to_redis, to_postgres = Proxy(redis.port), Proxy((pooler or postgres).port)
        environment = {
            "BANDIT_REDIS_URL": led_through(to_redis, redis.url),
            "BANDIT_POSTGRES_DSN": led_through(to_postgres, postgres.dsn),
            "BANDIT_SIGNING_KEYS": signing_key,
            "BANDIT_LEASE_SECONDS": str(LEASE_SECONDS),
            # The proxies run in this process, so a busy client delays what they forward.
            "BANDIT_REDIS_TIMEOUT": "1",
        }
        started.append(Service(folder / f"service-{number}.log", environment | dict(settings), to_redis, to_postgres))
    platform = Platform(redis, postgres, started, pooler)
    try:
        yield platform
    finally:
        platform.end()


def led_through(proxy: Proxy, url: str) -> str:
    """Start a proxy and return the URL that leads through it."""
    proxy.start()
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{proxy.port}").geturl()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process, and the ones it started, in the middle of whatever they do (SIGSTOP)."""
    pids = [pid, *_children(pid)]
    for each in pids:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in pids:
            os.kill(each, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for each in map(int, found) for child in (each, *_children(each))]


async def _until_served(client: httpx.AsyncClient, url: str) -> None:
    for _ in range(100):
        answer = await client.get(url)
        if answer.is_success:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(answer.text)
