"""A process of the service, as far as its recorder and keeper go, and what a test looks at."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from msgspec.structs import replace

from bandit_service.domain.clock import AnchoredClock
from bandit_service.domain.event import Event, Kind, Row
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.writer import LedgerWriter, Written
from bandit_service.spool.keeper import Keeper
from bandit_service.spool.pending import Limits
from bandit_service.spool.pickup import Pickup
from bandit_service.spool.recorder import Recorder
from bandit_service.spool.stream import Streams

DEAD_AFTER = 1.0
_firsts = itertools.count(1, 1_000_000)


class DeafWriter(LedgerWriter):
    """A writer that does not hear the answers of its next statements, which are committed."""

    deaf = 0
    after_write: Callable[[], None] | None = None

    async def write(self, rows: Sequence[Row], timeline: str, *, timeout: float = 10.0) -> Written:  # noqa: ASYNC109
        written = await super().write(rows, timeline, timeout=timeout)
        if self.after_write is not None:
            self.after_write()
        if self.deaf:
            self.deaf -= 1
            raise PostgresUnavailableError("not heard")
        return written


class Monotonic:
    """A clock that a test can move ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Process:
    """One process. `start` makes it work; without it only what a test calls happens."""

    def __init__(self, pool: Pool, redis_url: str, *, limits: Limits | None = None) -> None:
        self.pool = pool
        self.writer = DeafWriter(pool)
        self.producers = Producers(pool)
        self.streams = Streams(redis_url, timeout=0.4)
        self.monotonic = Monotonic()
        self.touched: set[str] = set()
        self.names: list[str] = []
        self.recorder = Recorder(
            writer=self.writer,
            monotonic=self.monotonic,
            first_number=next(_firsts),
            limits=limits or Limits(patience=0.5),
            on_written=self.touched.update,
        )
        self.pickup = Pickup(
            streams=self.streams,
            producers=self.producers,
            writer=self.writer,
            writing=self.recorder.writing,
            dead_after=DEAD_AFTER,
        )
        self.slots: list[int] = []
        self.keeper = Keeper(
            recorder=self.recorder,
            producers=self.producers,
            streams=self.streams,
            pickup=self.pickup,
            clock=AnchoredClock(time.monotonic, now=time.time()),
            monotonic=self.monotonic,
            new_name=lambda: uuid.uuid4().hex,
            on_named=self.names.append,
            on_slot=self.slots.append,
            dead_after=DEAD_AFTER,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.keeper.beat()
        self._tasks = [asyncio.create_task(self.recorder.run()), asyncio.create_task(self.keeper.run())]

    async def record_alone(self) -> None:
        """Run the recorder, and beat only when the test does."""
        await self.keeper.beat()
        self._tasks = [asyncio.create_task(self.recorder.run())]

    async def kill(self) -> None:
        """End as a killed process does."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.streams.close()

    async def stop(self) -> None:
        """End in order."""
        self.recorder.close()
        self.keeper.stop()
        await asyncio.gather(*self._tasks)
        await self.keeper.leave()
        await self.streams.close()

    async def written(self) -> None:
        """Wait until the ledger has everything."""
        await until(lambda: self.recorder.waiting == 0)


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait for what comes about by itself; an outage meanwhile is waited for too."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(PostgresUnavailableError):
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.02)


def event(decision_id: str, kind: Kind = "decision", **fields: Any) -> Event:
    """Return an event of a decision that was made now."""
    now = round(time.time() * 1_000)
    reward = {"reward_micro": 1} if kind == "reward" else {}
    first = Event("e", decision_id, kind, DECIDED, now, 0, "bandit", counted=True)
    return replace(first, **reward | fields)


DECIDED = round(time.time() * 1_000)


async def query(pool: Pool, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a statement; a session on a server that was killed is given up for another one."""
    for _ in range(10):
        with suppress(psycopg.OperationalError):
            async with pool.connection() as connection:
                cursor = await connection.execute(statement.encode(), parameters)
                return await cursor.fetchall() if cursor.description else []
        await asyncio.sleep(0.1)
    raise AssertionError("the database does not answer")


async def events_in(pool: Pool, kind: Kind = "decision") -> list[str]:
    """Return the decisions that have an event of a kind, in order."""
    found = await query(pool, "SELECT decision_id FROM bandit_events WHERE kind = %s ORDER BY 1", kind)
    return [decision_id for (decision_id,) in found]


async def assert_totals_equal_events(pool: Pool) -> None:
    totals = """
        SELECT experiment_id, arm_index, stratum, segment, weights_version, sum(decisions), sum(rewards),
            sum(reward_micro), sum(square_micro)
        FROM arm_totals GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    """
    assert await query(pool, totals) == await query(pool, "SELECT * FROM folded_events ORDER BY 1, 2, 3, 4, 5")
