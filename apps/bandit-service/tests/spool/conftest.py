"""Processes on a real Postgres and a real Redis, each behind a gate that a test can shut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
import redis

from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.spool.pending import Limits

from .gate import Gate
from .process import Process


@pytest.fixture
async def postgres_gate(postgres_dsn: str) -> AsyncIterator[Gate]:
    async with Gate(urlsplit(postgres_dsn).port or 0).running() as gate:
        yield gate


@pytest.fixture
async def redis_gate(redis_url: str) -> AsyncIterator[Gate]:
    async with Gate(urlsplit(redis_url).port or 0).running() as gate:
        yield gate


@pytest.fixture
async def gated_pool(postgres_dsn: str, postgres_gate: Gate) -> AsyncIterator[Pool]:
    """Connections through the gate; `pool` has some that no test shuts."""
    async with make_pool(_through(postgres_dsn, postgres_gate), max_size=6) as pool:
        yield pool
        # Whoever waits for an answer through a frozen gate waits no longer.
        postgres_gate.cut()


class Processes:
    """Makes processes, and ends those that a test has left."""

    def __init__(self, pool: Pool, redis_url: str) -> None:
        self._pool = pool
        self._redis_url = redis_url
        self._made: list[Process] = []

    def make(self, *, limits: Limits | None = None) -> Process:
        process = Process(self._pool, self._redis_url, limits=limits)
        self._made.append(process)
        return process

    async def start(self, *, limits: Limits | None = None) -> Process:
        process = self.make(limits=limits)
        await process.start()
        return process

    async def end(self) -> None:
        for process in self._made:
            await process.kill()


@pytest.fixture
async def processes(gated_pool: Pool, redis_url: str, redis_gate: Gate) -> AsyncIterator[Processes]:
    processes = Processes(gated_pool, _through(redis_url, redis_gate))
    yield processes
    await processes.end()


@pytest.fixture
def store(redis_url: str) -> Iterator[redis.Redis]:
    """The spool's store, past the gate."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def _through(url: str, gate: Gate) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{gate.port}").geturl()
