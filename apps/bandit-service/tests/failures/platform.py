"""A whole platform that a test can break: Redis, Postgres and service processes of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis

from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess

READY_WITHIN = 30.0


@dataclass
class Service:
    """One process of the service, started as in a cluster."""

    number: int
    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        command = [Path(sys.executable).with_name("bandit-service"), "serve", "--port", str(self.port)]
        self.process = ChildProcess(command, self.folder / f"service-{self.number}.log", environment=self.environment)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            assert self.process is not None
            assert self.process.running, self.process.log_tail()
            assert time.monotonic() < deadline, self.process.log_tail()
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        assert self.process is not None
        self.process.kill()

    def terminate(self) -> int:
        """Ask it to finish (SIGTERM) and return its exit code."""
        assert self.process is not None
        return self.process.stop()

    def log(self) -> str:
        return (self.folder / f"service-{self.number}.log").read_text()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=2.0).is_success
        except httpx.TransportError:
            return False


@dataclass
class Platform:
    """What runs, and what a test may do to it."""

    redis: RedisServer
    postgres: PostgresServer
    dsn: str
    services: list[Service]

    @property
    def urls(self) -> list[str]:
        return [service.url for service in self.services]

    def store(self) -> redis.Redis[str]:
        return redis.Redis.from_url(self.redis.url, decode_responses=True)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def crash_redis(self) -> None:
        """Kill Redis and start it again from its append-only file."""
        self.redis.kill()
        self.redis.start()

    def empty_redis(self) -> None:
        """Kill Redis and start it with nothing."""
        self.redis.kill()
        for name in ("appendonly.aof", "dump.rdb"):
            (self.redis.data_dir / name).unlink(missing_ok=True)
        self.redis.start()

    @property
    def append_only_file(self) -> Path:
        return self.redis.data_dir / "appendonly.aof"

    def age_redis(self, size: int) -> None:
        """Kill Redis and start it from its append-only file as it was when it had that size."""
        self.redis.kill()
        os.truncate(self.append_only_file, size)
        self.redis.start()

    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        """Stop a process, and the ones it started, in the middle of whatever they do (SIGSTOP)."""
        pids = [pid, *_children(pid)]
        for each in pids:
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in pids:
                os.kill(each, signal.SIGCONT)

    @contextmanager
    def writers_held_back(self) -> Iterator[None]:
        """Keep every writer waiting: events pile up in the stream."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("LOCK TABLE bandit_events IN EXCLUSIVE MODE")
            yield

    async def create(self, **fields: Any) -> str:
        """Create an experiment, known to every service, and return its id."""
        body = {"experiment_id": "homepage", "arms": ["a", "b", "c"], "guardrails": {"min_trials": 0}} | fields
        name = str(body["experiment_id"])
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.post(f"{self.urls[0]}/experiments", json=body)
            assert answer.status_code == 201, answer.text
            for url in self.urls:
                await self._serve(client, url, name)
        return name

    @staticmethod
    async def _serve(client: httpx.AsyncClient, url: str, name: str) -> None:
        """Wait until a service has weights. The decision is left without a reward."""
        for _ in range(100):
            answer = await client.get(f"{url}/experiments/{name}/allocation")
            if answer.is_success:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(answer.text)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for each in map(int, found) for child in (each, *_children(each))]


@contextmanager
def running_services(number: int, folder: Path, environment: dict[str, str]) -> Iterator[list[Service]]:
    """Run so many service processes on the same servers."""
    services = [Service(each, folder, environment) for each in range(number)]
    with ExitStack() as stack:
        for service in services:
            service.start()
            stack.callback(_end, service)
        for service in services:
            service.wait_until_ready()
        yield services


def _end(service: Service) -> None:
    if service.process is not None:
        service.process.kill()
