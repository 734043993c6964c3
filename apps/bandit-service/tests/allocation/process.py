"""A process of the service as far as learning goes: leases, totals, weights, mirror and memory, on real stores."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from bandit_core.rules.experiment import Experiment
from bandit_core.stopping import Verdict
from bandit_service.allocation.copies import Copies
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_models import LinearModels
from bandit_service.allocation.loop import Allocator
from bandit_service.allocation.merged_totals import MergedTotals
from bandit_service.allocation.publication import Publication
from bandit_service.allocation.settler import Settler
from bandit_service.domain.event import Event, Row
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.leases import LeasesRepository
from bandit_service.ledger.linear_outcomes import LinearOutcomes
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.served import ServedRepository
from bandit_service.ledger.settling import Settling
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.weight_periods import WeightPeriodsRepository
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.ledger.writer import LedgerWriter
from bandit_service.metrics import Metrics
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.publication import Mirror
from bandit_service.mirror.subscription import Announcer, Subscription
from bandit_service.serving.experiment_cache import ExperimentCache

LIFE = 1.0
_numbers = itertools.count(1)


class Process:
    """Wired as in a replica; `running` turns its loops, or the test calls them by itself."""

    def __init__(self, name: str, pool: Pool, redis_url: str, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.pool = pool
        self.redis = make_redis(redis_url, timeout=0.5)
        self.mirror = Mirror(self.redis, f"{name}-{next(_numbers)}")
        self.announcer = Announcer(self.redis, name)
        self.subscription = Subscription(redis_url, timeout=0.5, own=name)
        repository = LeasesRepository(pool, holder=name)
        self.leases = Leases(repository, life=LIFE)
        linear = LinearModels(LinearOutcomes(pool), clock=clock)
        self.cache = ExperimentCache(self.mirror, ServedRepository(pool), linear=linear.record, clock=clock)
        self.weights = WeightsRepository(pool)
        self.concluded: list[str] = []
        self.allocator = Allocator(
            leases=self.leases,
            repository=repository,
            settler=Settler(Settling(pool), clock=clock),
            linear=linear,
            totals=MergedTotals(TotalsRepository(pool), WeightPeriodsRepository(pool), clock=clock),
            weights=self.weights,
            copies=Copies(
                mirror=self.mirror,
                announcer=self.announcer,
                cache=self.cache,
                weights=self.weights,
                clock=clock,
            ),
            cache=self.cache,
            conclude=self._conclude,
            may_settle=lambda: True,
            metrics=Metrics(),
            clock=clock,
        )
        self.publication = Publication(
            mirror=self.mirror,
            announcer=self.announcer,
            cache=self.cache,
            leases=self.leases,
            allocator=self.allocator,
        )

    async def start(self) -> None:
        await Producers(self.pool).register(self.name)
        await self.allocator.claim()

    async def close(self) -> None:
        await self.subscription.close()
        await self.redis.aclose()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        await self.start()
        tasks = [
            asyncio.create_task(self._every(0.05, self.allocator.tick)),
            asyncio.create_task(self._every(0.2, self._beat)),
            asyncio.create_task(self._every(0.5, self.allocator.judge)),
            asyncio.create_task(self._every(1.0, self._sweep)),
            asyncio.create_task(self._every(5.0, self.allocator.check_all)),
            asyncio.create_task(self.subscription.run(self._on_changed, self.allocator.touched)),
        ]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            failed = [
                each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Exception)
            ]
            await self.close()
            assert failed == []

    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            with suppress(PostgresUnavailableError):
                await step()
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(
                "UPDATE producers SET heartbeat_at = clock_timestamp(), drained_to = clock_timestamp() WHERE name = %s",
                [self.name],
            )
        await self.allocator.claim()

    async def _sweep(self) -> None:
        self.allocator.outdated(await self.cache.sweep())

    async def _on_changed(self, names: list[str]) -> None:
        await self.cache.changed(names)
        self.allocator.touched(names)

    async def _conclude(self, experiment: Experiment, _: Verdict) -> None:
        self.concluded.append(experiment.id)


async def write(pool: Pool, events: Sequence[Event]) -> None:
    """Write events as another process does."""
    number = next(_numbers)
    rows = [Row(number, place, event) for place, event in enumerate(events)]
    written = await LedgerWriter(pool, slot=3).write(rows, "00000001")
    assert not written.refused


def rewards(experiment_id: str, arm_index: int, reward_micro: int, count: int, **fields: Any) -> list[Event]:
    """Return direct rewards, which count at once."""
    now = round(time.time() * 1_000)
    given: dict[str, Any] = {"kind": "reward", "stratum": "direct", "counted": True} | fields
    return [
        Event(
            experiment_id,
            f"r{next(_numbers)}",
            decision_ms=now,
            event_ms=now,
            arm_index=arm_index,
            reward_micro=reward_micro,
            **given,
        )
        for _ in range(count)
    ]


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 8.0) -> float:
    """Wait for what comes about by itself; return how long it took."""
    started = time.monotonic()
    while not await holds():
        assert time.monotonic() < started + seconds, "it did not come about in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - started
