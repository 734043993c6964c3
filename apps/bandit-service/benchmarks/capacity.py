"""How much room and how much of a core a load needs: `python -m benchmarks.capacity`.

Stores keep what the spool and the writer give them, through the same code as in the service; only HTTP is left out.
Room is the growth of `used_memory` in Redis and of the table with its indexes in Postgres.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import psycopg
import redis
import typer
from rich.console import Console
from rich.table import Table

from bandit_core.rules.decisions import DecisionClaims
from bandit_local.servers import PostgresServer, RedisServer
from bandit_service.domain.decision_id import DecisionIds
from bandit_service.domain.event import Batch, Event, encode_event
from bandit_service.domain.units import hashed_unit
from bandit_service.ledger import migrations
from bandit_service.ledger.pool import make_pool
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.writer import LedgerWriter
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import Claim, OwnIds
from bandit_service.spool.stream import Streams

NAME: Final = "homepage"
PROCESS: Final = "capacity"
BATCH: Final = 500
DAY_SECONDS: Final = 86_400.0
SALT: Final = bytes(16).hex()


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with its unit."""

    what: str
    value: float
    unit: str


class Load:
    """Events as the service makes them, with ids it would issue."""

    def __init__(self) -> None:
        self._ids = DecisionIds({1: secrets.token_bytes(32)}, secrets.token_bytes)
        self._numbers = itertools.count()
        self._batches = itertools.count(1)
        self._decided: list[Event] = []

    def decision(self) -> Event:
        now_ms = round(time.time() * 1_000)
        number = next(self._numbers)
        claims = DecisionClaims(NAME, number % 2, 0.5, now_ms, weights_version=number % 1_000, revision=1)
        event = Event(
            NAME,
            self._ids.issue(claims),
            "decision",
            now_ms,
            now_ms,
            claims.arm_index,
            "bandit",
            counted=True,
            propensity=0.5,
            weights_version=claims.weights_version,
            revision=1,
            unit_hash=hashed_unit(f"visitor-{number}", SALT),
            vector="published",
        )
        self._decided.append(event)
        return event

    def reward(self) -> Event:
        """Return the reward of a decision that has none."""
        of = self._decided.pop()
        return Event(
            NAME,
            of.decision_id,
            "reward",
            of.decision_ms,
            round(time.time() * 1_000),
            of.arm_index,
            "bandit",
            counted=True,
            propensity=0.5,
            weights_version=of.weights_version,
            revision=1,
            reward_micro=1_000_000,
        )

    def batch(self, make: Callable[[], Event], size: int) -> Batch:
        return Batch(next(self._batches), tuple(make() for _ in range(size)))


async def in_redis(url: str, count: int) -> list[Figure]:
    """Measure what events cost in the spool, alone and many at once, and what an own id costs."""
    load, streams, client = Load(), Streams(url, timeout=10.0), make_redis(url, timeout=10.0)
    store = redis.Redis.from_url(url)
    await streams.create(PROCESS)

    async def append(make: Callable[[], Event], size: int) -> tuple[float, float]:
        """Append so many events; return bytes and seconds for each."""
        batches = [load.batch(make, size) for _ in range(count // size)]
        before, started = _used(store), time.perf_counter()
        for batch in batches:
            await streams.append(PROCESS, batch)
        seconds = time.perf_counter() - started
        return (_used(store) - before) / count, seconds / count

    decision, _ = await append(load.decision, 1)
    many, seconds = await append(load.decision, BATCH)
    reward, _ = await append(load.reward, 1)
    own = OwnIds(client)
    before = _used(store)
    for start in range(0, count, BATCH):
        keys = [ExperimentKeys(NAME).own(f"order-{number:012}") for number in range(start, start + BATCH)]
        await own.claim([Claim(key, encode_event(load.decision())) for key in keys], seconds=DAY_SECONDS)
    claim = (_used(store) - before) / count
    store.close()
    await client.aclose()
    await streams.close()
    return [
        Figure("a decision in the spool, by itself", decision, "bytes"),
        Figure(f"a decision in the spool, {BATCH} at once", many, "bytes"),
        Figure("a reward in the spool, by itself", reward, "bytes"),
        Figure("the claim of a caller's own id, for 25 hours", claim, "bytes"),
        Figure(f"decisions appended over one connection, {BATCH} at a time", 1 / seconds, "events/s"),
    ]


async def to_postgres(dsn: str, count: int) -> list[Figure]:
    """Measure how fast one process writes into the ledger, and what an event costs there."""
    load, figures = Load(), []
    async with make_pool(dsn) as pool:
        timeline = (await Producers(pool).register(PROCESS)).timeline
        writer = LedgerWriter(pool)
        size = 0
        for what, make in (("decision", load.decision), ("reward", load.reward)):
            batches = [load.batch(make, BATCH) for _ in range(count // BATCH)]
            started = time.perf_counter()
            for batch in batches:
                await writer.write(batch.rows, timeline)
            seconds = time.perf_counter() - started
            grown, size = _size(dsn) - size, _size(dsn)
            figures += [
                Figure(f"a {what} in bandit_events, indexes included", grown / count, "bytes"),
                Figure(f"{what}s written by one process, {BATCH} at a time", count / seconds, "events/s"),
            ]
    return figures


def _used(store: redis.Redis) -> int:
    return int(store.info("memory")["used_memory"])


def _size(dsn: str) -> int:
    with psycopg.connect(dsn) as session:
        row = session.execute("SELECT pg_total_relation_size('bandit_events_default')").fetchone()
    return int(row[0]) if row else 0


def _measure(count: int, folder: Path) -> Iterator[Figure]:
    with RedisServer(folder / "redis") as store, PostgresServer(folder / "postgres") as database:
        yield from asyncio.run(in_redis(store.url, count))
        migrations.upgrade(database.dsn)
        yield from asyncio.run(to_postgres(database.dsn, count))


def main(count: Annotated[int, typer.Argument(min=BATCH, help="How many events of each kind.")] = 100_000) -> None:
    """Measure and print the figures."""
    table = Table("what", "figure", "", box=None)
    with tempfile.TemporaryDirectory() as folder:
        for figure in _measure(count, Path(folder)):
            table.add_row(figure.what, f"{figure.value:,.0f}", figure.unit)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
