"""The event flow of some processes, put together by hand so that a test can hold each part still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import redis.asyncio

from bandit_service.domain.event import EventRecord
from bandit_service.domain.experiment import MICRO, Experiment
from bandit_service.events.committer import Committer, Limits
from bandit_service.events.lane import Lane
from bandit_service.events.operations import Activate, Decide, Operation, Reward
from bandit_service.events.reconcile import Reconciler
from bandit_service.events.refill import Refiller
from bandit_service.events.snapshots import Snapshots
from bandit_service.events.writer import Writer
from bandit_service.ledger.events import EventLog
from bandit_service.ledger.experiments import ExperimentsRepository
from bandit_service.ledger.pool import Pool
from bandit_service.redis_store.clock import StoreClock
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore
from bandit_service.redis_store.streams import Streams
from bandit_service.serving.directory import Directory

ID = "homepage"
HOUR_MS = 3_600_000
RECOVERY_SECONDS = 0.3
_TIMEOUT = 0.5
_FIELDS = ("deferred", "unit_hash", "stratum", "position", "circumstances")


def now_ms() -> int:
    return round(time.time() * 1_000)


def record(name: str, *, arm: int = 0, micro: int | None = None, at: int | None = None, **more: Any) -> EventRecord:
    at = now_ms() if at is None else at
    return EventRecord(name, at, now_ms(), arm, more.pop("stratum", "bandit"), 0.5, micro, 1, **more)


def decide(name: str, *, arm: int = 0, at: int | None = None, **more: Any) -> Decide:
    options: dict[str, Any] = {"counter": "d:"} | more
    fields = {key: options.pop(key) for key in _FIELDS if key in options}
    return Decide(record(name, arm=arm, at=at, **fields), **options)


def activate(name: str, *, arm: int = 0, at: int | None = None, **more: Any) -> Activate:
    options: dict[str, Any] = {"counter": "d:", "deadline_ms": None} | more
    return Activate(record(name, arm=arm, at=at, deferred=True), **options)


def reward(name: str, micro: int | None = MICRO, *, arm: int = 0, at: int | None = None, **more: Any) -> Reward:
    options: dict[str, Any] = {"mode": "b", "deadline_ms": now_ms() + HOUR_MS} | more
    fields = {key: options.pop(key) for key in _FIELDS if key in options}
    return Reward(record(name, arm=arm, micro=micro, at=at, **fields), **options)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class Process:
    """One process' part in the event flow. Its loops do not run: the test says what happens and when."""

    committer: Committer
    reconciler: Reconciler
    lane: Lane
    connection: PipelinedConnection
    streams: Streams
    writer: Writer
    snapshots: Snapshots

    async def settle(self) -> None:
        """Bring the lane into agreement with the store, as on a first use or after a restart of the store."""
        self.reconciler.start(self.lane)
        await self.reconciler.settled(self.lane)

    async def commit(self, *operations: Operation) -> list[int]:
        """Have operations, and what waits before them, committed now; return the outcomes."""
        futures = [self.committer.submit(self.lane, operation) for operation in operations]
        async with asyncio.timeout(5.0):
            await self.flush()
            return await asyncio.gather(*futures)

    async def flush(self) -> None:
        """Commit what waits."""
        await self.connection.open()
        while self.lane.has_work:
            await self.committer._turn()

    async def drain(self) -> None:
        """Write the whole stream to Postgres."""
        while (await self.writer.drain([ID])).has_more:
            pass


@dataclass
class Rig:
    """One experiment on a real Redis and a real Postgres, and as many processes as a test wants."""

    store: RedisStore
    events: EventLog
    pool: Pool
    experiment: Experiment
    start: Callable[[str], Any]
    redis: redis.asyncio.Redis

    async def process(self, name: str = "process-1") -> Process:
        """Start a process that agrees with the store."""
        process: Process = await self.start(name)
        await process.settle()
        return process

    @asynccontextmanager
    async def without_postgres(self) -> AsyncIterator[None]:
        """Have Postgres refuse whatever has to do with positions."""
        async with self.pool.connection() as connection:
            await connection.execute("ALTER TABLE event_positions RENAME TO away")
        yield
        async with self.pool.connection() as connection:
            await connection.execute("ALTER TABLE away RENAME TO event_positions")

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query.encode())
            return await cursor.fetchall()

    async def written(self) -> list[tuple[str, str]]:
        """Return decision id and kind of the events in Postgres, in the order of the stream."""
        return await self.rows("SELECT decision_id, kind FROM bandit_events ORDER BY epoch, seq")

    async def in_stream(self) -> list[str]:
        """Return the decision ids in the stream."""
        head = await self.store.head(ID)
        entries = await self.store.events(ID, head.epoch or 0, 0, 10_000)
        return [fields["p"].split('"')[1] for _, fields in entries]

    async def posterior(self, arm: int = 0) -> tuple[int, int]:
        """Return what data added to alpha and beta of an arm, in millionths."""
        counts = await self.store.beliefs(ID, len(self.experiment.arms))
        definition = self.experiment.arms[arm]
        alpha, beta = counts.alpha_micro[arm] or 0, counts.beta_micro[arm] or 0
        return alpha - definition.prior_alpha_micro, beta - definition.prior_beta_micro

    async def save(self) -> dict[bytes, tuple[int, bytes]]:
        """Copy everything that Redis has of the experiment, as a backup would."""
        keys = [key async for key in self.redis.scan_iter(f"experiment:{{{ID}}}:*")]
        return {key: (max(await self.redis.pttl(key), 0), await self.redis.dump(key) or b"") for key in keys}

    async def restore(self, saved: dict[bytes, tuple[int, bytes]]) -> None:
        """Put Redis back to an earlier copy."""
        await self.redis.flushall()
        for key, (life_ms, value) in saved.items():
            await self.redis.restore(key, life_ms, value)

    async def contents(self) -> dict[str, Any]:
        """Return what Redis has of the experiment, less what is not the same after a refill by design."""
        names = ExperimentKeys(ID)
        epoch = (await self.store.head(ID)).epoch
        found: dict[str, Any] = {}
        async for raw in self.redis.scan_iter(f"experiment:{{{ID}}}:*"):
            key = raw.decode()
            if key in (names.events, names.producers, names.allocation, names.explanation):
                continue
            found[key] = await self._value(key, f"{epoch}|".encode())
        state = found[names.state]
        for name in (b"epoch", b"version", b"weights_version", b"seq", b"committed"):
            state.pop(name, None)
        found[names.state] = {name: value for name, value in state.items() if value != b"0"}
        return found

    async def _value(self, key: str, stamp: bytes) -> Any:
        match await self.redis.type(key):
            case b"hash":
                return await self.redis.hgetall(key)
            case b"set":
                return await self.redis.smembers(key)
            case b"zset":
                return await self.redis.zrange(key, 0, -1, withscores=True)
            case _:
                value = cast("bytes", await self.redis.get(key) or b"")
                # Markers and callers' own decisions are stamped with the epoch.
                is_kept_for_ever = await self.redis.pttl(key) == -1
                return value.removeprefix(stamp), is_kept_for_ever


@asynccontextmanager
async def processes(
    redis_url: str, store: RedisStore, events: EventLog, repository: ExperimentsRepository
) -> AsyncIterator[Callable[[str], Any]]:
    """Yield a function that starts processes by name; they are closed at the end."""
    started: list[Process] = []

    async def start(name: str) -> Process:
        connection = PipelinedConnection(redis_url, timeout=_TIMEOUT, scripts=("commit",))
        clock = StoreClock(time.time)
        directory = Directory(store, definition=repository.get, last_allocation=events.last_allocation, clock=time.time)
        committer = Committer(
            connection,
            producer=name,
            clock=clock,
            limits=Limits(),
            on_reply=lambda *_: None,
            on_doubt=lambda lane: reconciler.start(lane),  # noqa: PLW0108 (it is made below)
        )
        reconciler = Reconciler(
            directory=directory,
            definition=repository.get,
            store=store,
            events=events,
            refiller=Refiller(store, events, token=name, clock=time.time),
            wake=committer.wake,
            recovery_seconds=RECOVERY_SECONDS,
        )
        streams = Streams(PipelinedConnection(redis_url, timeout=_TIMEOUT, scripts=Streams.SCRIPTS))
        process = Process(
            committer,
            reconciler,
            committer.lane(ID, 86_400.0),
            connection,
            streams,
            Writer(streams, events, clock=time.time),
            Snapshots(streams, events, clock=time.time),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        await process.reconciler.close()
        await process.connection.close()
        await process.streams.close()
