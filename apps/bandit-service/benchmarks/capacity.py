"""How much memory, how many connections and how much of a core a load needs: `python -m benchmarks.capacity`.

Stores keep what the commit script and the writer give them, through the same code as in the service; only HTTP is left
out. Memory is the growth of `used_memory` in Redis and of the table with its indexes in Postgres.
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

import psycopg
import redis
import typer
from rich.console import Console
from rich.table import Table

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service.domain.decision_id import DecisionIds, Ticket
from bandit_service.domain.event import EventRecord
from bandit_service.domain.experiment import ArmDefinition, Experiment
from bandit_service.domain.units import hashed_unit
from bandit_service.events.lane import Lane, Reply
from bandit_service.events.operations import Decide, Operation, Reward
from bandit_service.events.writer import Writer
from bandit_service.ledger import migrations
from bandit_service.ledger.events import EventLog
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import make_pool
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.streams import Streams

NAME = "homepage"
EPOCH = 1
BATCH = 500
WINDOW_MS = 86_400_000
SALT = bytes(16).hex()
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with its unit."""

    what: str
    value: float
    unit: str


class Load:
    """Operations as the service makes them, with ids it would issue."""

    def __init__(self) -> None:
        self._ids = DecisionIds({1: secrets.token_bytes(32)}, secrets.token_bytes)
        self._numbers = itertools.count()
        self.decided: list[str] = []

    def decision(self, *, own: bool = False, waits: bool = False) -> Operation:
        now_ms = round(time.time() * 1_000)
        number = next(self._numbers)
        ticket = Ticket(NAME, number % 2, 0.5, now_ms, weights_version=number % 1_000)
        name = f"order-{number:012}" if own else self._ids.issue(ticket)
        self.decided.append(name)
        unit = hashed_unit(f"visitor-{number}", SALT)
        record = EventRecord(name, now_ms, now_ms, number % 2, "bandit", 0.5, None, number % 1_000, unit_hash=unit)
        own_record = b'{"arm_index":0,"propensity":0.5,"decision_ms":1795176000000,"stratum":"bandit"}' if own else None
        closes_ms = now_ms + WINDOW_MS if waits else None
        return Decide(record, counter="d:", own_record=own_record, closes_ms=closes_ms)

    def reward(self) -> Operation:
        now_ms = round(time.time() * 1_000)
        record = EventRecord(self.decided.pop(), now_ms, now_ms, 0, "bandit", 0.5, 1_000_000, 1)
        return Reward(record, mode="b", deadline_ms=now_ms + WINDOW_MS)


class Bench:
    """One experiment in a real Redis, and how its memory grows."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, decode_responses=True)
        self._connection = PipelinedConnection(url, timeout=10.0, scripts=("commit",))
        self._lane = Lane(NAME, "capacity", marker_life_ms=WINDOW_MS + 3_600_000, retain_limit=0)
        self._lane.epoch = EPOCH
        keys = ExperimentKeys(NAME)
        self._client.hset(keys.state, mapping={"epoch": EPOCH, "seq": 0, "revision": 1})
        self._client.mset({key: 1_000_000 for arm in (0, 1) for key in (keys.alpha(arm), keys.beta(arm))})

    async def commit(self, make: Callable[[], Operation], count: int) -> tuple[float, float]:
        """Commit operations; return bytes and seconds for each."""
        await self._connection.open()
        before, started = self.used(), time.perf_counter()
        for _ in range(count // BATCH):
            self._lane.queue.extend(make() for _ in range(BATCH))
            [answer] = await self._connection.execute([self._lane.next_batch(BATCH).command])
            self._lane.succeed(Reply.parse(answer))
        seconds = time.perf_counter() - started
        return (self.used() - before) / count, seconds / count

    async def lasting(self, make: Callable[[], Operation], count: int) -> float:
        """Commit operations; return the bytes that are left of each once its event is trimmed from the stream."""
        self.forget_events()
        before = self.used()
        await self.commit(make, count)
        self.forget_events()
        return (self.used() - before) / count

    def forget_events(self) -> None:
        """Trim the whole stream."""
        self._client.delete(ExperimentKeys(NAME).events)

    async def close(self) -> None:
        self._client.close()
        await self._connection.close()

    def used(self) -> int:
        """Return the bytes in use."""
        return int(self._client.info("memory")["used_memory"])


async def in_redis(url: str, count: int) -> list[Figure]:
    """Measure what events, markers, own ids and open windows cost in Redis."""
    bench, load = Bench(url), Load()
    decision, decision_seconds = await bench.commit(load.decision, count)
    bench.forget_events()
    marker = await bench.lasting(load.reward, count)
    for _ in range(count):
        load.decision()
    reward, reward_seconds = await bench.commit(load.reward, count)
    own = await bench.lasting(lambda: load.decision(own=True), count)
    waiting = await bench.lasting(lambda: load.decision(waits=True), count)
    await bench.close()
    return [
        Figure("a decision in the stream", decision, "bytes"),
        Figure("a reward in the stream", reward - marker, "bytes"),
        Figure("a reward's marker, for the reward window and an hour", marker, "bytes"),
        Figure("the memory of a decision with its caller's own id, as long", own, "bytes"),
        Figure("a decision whose window is open (missing_reward: zero)", waiting, "bytes"),
        Figure("decisions committed over one connection, 500 at a time", 1 / decision_seconds, "events/s"),
        Figure("rewards committed over one connection, 500 at a time", 1 / reward_seconds, "events/s"),
    ]


async def to_postgres(url: str, dsn: str, count: int) -> list[Figure]:
    """Measure how fast the writer drains a stream, and what an event costs in Postgres."""
    bench, load = Bench(url), Load()
    await bench.commit(load.decision, count)
    await bench.close()
    connection = PipelinedConnection(url, timeout=10.0, scripts=Streams.SCRIPTS)
    async with make_pool(dsn) as pool:
        arms = (ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b"))
        experiment = Experiment(NAME, "default", "running", 1, arms, "a", 0.0)
        await ExperimentsRepository(pool).create(experiment, Reason("bench", "bench", 0.0), unit_salt=bytes(16))
        await EventLog(pool).raise_epoch(NAME)
        writer = Writer(Streams(connection), EventLog(pool), clock=time.time)
        started = time.perf_counter()
        while (await writer.drain([NAME])).has_more:
            pass
        seconds = time.perf_counter() - started
    await connection.close()
    with psycopg.connect(dsn) as session:
        row = session.execute(
            "SELECT count(*), pg_total_relation_size('bandit_events_default') FROM bandit_events"
        ).fetchone()
    events, size = row or (0, 0)
    return [
        Figure("a decision in bandit_events, indexes included", size / events, "bytes"),
        Figure("events drained into Postgres by one replica", events / seconds, "events/s"),
    ]


def _measure(count: int, folder: Path) -> Iterator[Figure]:
    with RedisServer(folder / "redis") as store, PostgresServer(folder / "postgres") as database:
        yield from asyncio.run(in_redis(store.database_url(0), count))
        migrations.upgrade(database.dsn)
        yield from asyncio.run(to_postgres(store.database_url(1), database.dsn, count))


def main(count: int = 100_000) -> None:
    """Measure and print the figures, from that many events of each kind."""
    table = Table("what", "figure", "", box=None)
    with tempfile.TemporaryDirectory() as folder:
        for figure in _measure(count, Path(folder)):
            table.add_row(figure.what, f"{figure.value:,.0f}", figure.unit)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
