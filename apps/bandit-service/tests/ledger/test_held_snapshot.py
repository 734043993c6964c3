"""A snapshot that is held for long, as by a dump, makes neither batches nor the reading of totals dear."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import psycopg
import pytest

from bandit_service.allocation.merged_totals import MergedTotals
from bandit_service.domain.event import Event, Row
from bandit_service.ledger.pool import Pool, make_pool, statement
from bandit_service.ledger.slots import slot_at
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.weight_periods import WeightPeriodsRepository
from bandit_service.ledger.writer import LedgerWriter

HOT: Final = "homepage"
# Written to while measuring only: what the same costs without a past that cannot be removed. Measured in turns, so that
# whatever else the machine does is the same for both.
FRESH: Final = "fresh"
ARMS: Final = 4
# A process that writes 20 batches a second for ten minutes, in as much time as that takes here.
BATCHES_A_SECOND: Final = 20
MINUTES: Final = 10
MEASURED_SECONDS: Final = 20
MOST: Final = 1.5
_SCHEDULED: Final = "/proc/{}/schedstat"


@dataclass
class Costs:
    """Microseconds of the server for each batch, and for each reading of totals."""

    batches: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)


@dataclass
class Session:
    """One process with one connection, on a clock of its own; what it costs is the processor time of its session."""

    pool: Pool
    pid: int
    timeline: str
    now: float = 1_790_000_000.0

    def __post_init__(self) -> None:
        self.writer = LedgerWriter(self.pool)
        self.totals = MergedTotals(
            TotalsRepository(self.pool), WeightPeriodsRepository(self.pool), clock=lambda: self.now
        )
        self._numbers = itertools.count()

    async def load(self, seconds: int, *experiments: str) -> dict[str, Costs]:
        """Write batches and read totals; merge, and go on with new rows, as often as a replica does."""
        costs = {name: Costs() for name in experiments}
        for second in range(seconds):
            if second % 5 == 0:
                self.writer.slot = slot_at(0, round(self.now * 1_000))
                await self.totals.merge()
            for _ in range(BATCHES_A_SECOND):
                for name, each in costs.items():
                    each.batches.append(await self.cost(partial(self._write, name)))
            for name, each in costs.items():
                each.reads += [await self.cost(partial(self.totals.read, [name])) for _ in range(5)]
            self.now += 1.0
        return costs

    async def cost(self, of: Callable[[], Awaitable[object]]) -> float:
        """Return the microseconds that the server takes."""
        before = self._scheduled()
        await of()
        return (self._scheduled() - before) / 1_000

    async def _write(self, experiment: str) -> None:
        number = next(self._numbers)
        events = [self._event(experiment, number, arm) for arm in range(ARMS)]
        await self.writer.write([Row(number, place, event) for place, event in enumerate(events)], self.timeline)

    def _event(self, experiment: str, number: int, arm: int) -> Event:
        now_ms = round(self.now * 1_000)
        return Event(
            experiment,
            f"d{number:08}-{arm}",
            "reward",
            now_ms,
            now_ms,
            arm,
            "bandit",
            counted=True,
            weights_version=1,
            reward_micro=1_000_000,
            bucket_ms=now_ms - now_ms % 864_000,
        )

    def _scheduled(self) -> int:
        return int(Path(_SCHEDULED.format(self.pid)).read_text().split()[0])


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[Session]:
    async with make_pool(dsn, max_size=1) as pool:
        async with pool.connection() as connection:
            [timeline] = await (await connection.execute(statement("timeline"))).fetchone() or [""]
            pid = connection.info.backend_pid
        yield Session(pool, pid, timeline)


@pytest.mark.verify
@pytest.mark.skipif(not Path(_SCHEDULED.format("self")).exists(), reason="the system does not say what a process costs")
async def test_a_batch_and_the_reading_of_totals_stay_cheap(
    postgres_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with session(postgres_dsn) as each:
        await each.load(60, HOT)
        async with await psycopg.AsyncConnection.connect(postgres_dsn) as holder:
            await holder.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await holder.execute("SELECT FROM arm_totals LIMIT 1")
            await each.load(MINUTES * 60, HOT)
            costs = await each.load(MEASURED_SECONDS, HOT, FRESH)
            whole = median([await each.cost(partial(TotalsRepository(each.pool).read, [HOT])) for _ in range(50)])
    batches = [median(costs[name].batches) for name in (FRESH, HOT)]
    reads = [median(costs[name].reads) for name in (FRESH, HOT)]
    with capsys.disabled():
        sys.stdout.write(
            f"\na snapshot held for {MINUTES} minutes of {BATCHES_A_SECOND} batches a second, microseconds of Postgres,"
            f" without that past and with it: a batch {batches[0]:.0f} and {batches[1]:.0f}; reading totals"
            f" {reads[0]:.0f} and {reads[1]:.0f} ({whole:.0f} with what was merged)\n"
        )
    assert batches[1] <= MOST * batches[0]
    assert reads[1] <= MOST * reads[0]
