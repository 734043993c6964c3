"""What runs beside the requests: leases, weights, memory kept fresh, partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from bandit_service.allocation.leases import Leases
from bandit_service.allocation.loop import Allocator
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.leases import FencedError
from bandit_service.ledger.sample_ratios import SampleRatios
from bandit_service.ledger.slots import MERGE_EVERY
from bandit_service.ledger.snapshots import SnapshotsRepository
from bandit_service.metrics import Metrics
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError
from bandit_service.mirror.subscription import Announcer, Subscription
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.operations.retention import RetentionKeeper
from bandit_service.serving.experiment_cache import ExperimentCache
from bandit_service.spool.recorder import Recorder

TICK_EVERY: Final = 0.05
SECOND: Final = 1.0
CLAIM_EVERY: Final = 2.0
CHECK_EVERY: Final = 5.0
RECORDS_EVERY: Final = 20.0
SNAPSHOT_EVERY: Final = 60.0
PARTITIONS_EVERY: Final = 600.0
_AWAY: Final = (StoreUnavailableError, StoreFullError, PostgresUnavailableError, FencedError)
log = structlog.get_logger(__name__)


class Background:
    """The loops of one process. Each goes on after an outage of what it needs."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        allocator: Allocator,
        leases: Leases,
        cache: ExperimentCache,
        announcer: Announcer,
        subscription: Subscription,
        snapshots: SnapshotsRepository,
        sample_ratios: SampleRatios,
        partitions: PartitionKeeper,
        retention: RetentionKeeper,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._recorder = recorder
        self._allocator = allocator
        self._leases = leases
        self._cache = cache
        self._announcer = announcer
        self._subscription = subscription
        self._snapshots = snapshots
        self._sample_ratios = sample_ratios
        self._partitions = partitions
        self._retention = retention
        self._metrics = metrics
        self._clock = clock
        self._stopping = asyncio.Event()
        self._due = asyncio.Event()
        self._written: set[str] = set()
        self._shown_as_dropped = 0

    async def run(self) -> None:
        """Turn all loops until `stop`."""
        listening = asyncio.create_task(self._subscription.run(self._on_changed, self._on_touched))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._every(TICK_EVERY, self._tick_when_due))
                tasks.create_task(self._every(CLAIM_EVERY, self._allocator.claim))
                tasks.create_task(self._every(SECOND, self._allocator.judge))
                tasks.create_task(self._every(SECOND, self._sweep))
                tasks.create_task(self._every(SECOND, self._show))
                tasks.create_task(self._every(CHECK_EVERY, self._allocator.check_all))
                tasks.create_task(self._every(MERGE_EVERY, self._allocator.merge))
                tasks.create_task(self._every(RECORDS_EVERY, self._keep_records))
                tasks.create_task(self._every(PARTITIONS_EVERY, self._partitions.keep_ahead))
                tasks.create_task(self._every(PARTITIONS_EVERY, self._retention.keep))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def written(self, experiment_ids: Iterable[str]) -> None:
        """Note that this process has written events of experiments into the ledger."""
        self._written.update(experiment_ids)
        self._allocator.touched(experiment_ids)
        self._due.set()

    def degraded_dependencies(self) -> dict[str, bool]:
        """Return which parts do not do their work at the moment.

        `failover`: Postgres has failed over, and other processes have not yet written again what it may have lost.
        """
        health = self._recorder.health
        # Without Postgres a process that has no stream cannot begin one, so it cannot tell whether Redis is there.
        may_use_redis = health.beats or self._recorder.stream is not None
        return {
            "redis": may_use_redis and not health.spool,
            "postgres": not health.ledger,
            "failover": health.ledger and not self._recorder.others_follow,
        }

    def stop(self) -> None:
        self._stopping.set()
        self._due.set()

    async def release(self) -> None:
        """Give the leases back, so that another process can go on at once."""
        with suppress(*_AWAY):
            await self._leases.release()

    async def _every(self, seconds: float, step: Callable[[], Awaitable[object]]) -> None:
        while not self._stopping.is_set():
            try:
                await step()
            except _AWAY as error:
                log.debug("waiting", step=step.__name__, reason=type(error).__name__)
            except Exception:
                # A loop that ended would silently stop learning in this process.
                log.exception("background_step_failed", step=step.__name__)
            if self._allocator.has_work:
                self._due.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _tick_when_due(self) -> None:
        """Turn at once if there is something to look after, and each second in any case."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._due.wait(), SECOND)
        self._due.clear()
        await self._tick()

    async def _tick(self) -> None:
        """Look after experiments of this process, and tell the others of theirs."""
        written, self._written = self._written, set()
        others = written - self._leases.held.keys()
        if others:
            await self._announce(others)
        await self._allocator.tick()

    async def _announce(self, experiment_ids: set[str]) -> None:
        # Without the message the lease-holder finds out by looking, a few seconds later.
        with suppress(StoreUnavailableError, StoreFullError):
            await self._announcer.announce_touched(experiment_ids)

    async def _sweep(self) -> None:
        if not self._cache.has_started:
            await self._cache.load_all()
        self._allocator.outdated(await self._cache.sweep())

    async def _keep_records(self) -> None:
        """Take the snapshots that are due, and test the sample ratios of new decisions."""
        held = list(self._leases.held)
        if held:
            await self._snapshots.take_due(held, SNAPSHOT_EVERY)
            await self._sample_ratios.update(held)

    async def _on_changed(self, experiment_ids: list[str]) -> None:
        await self._cache.changed(experiment_ids)
        self._touched(experiment_ids)

    async def _on_touched(self, experiment_ids: list[str]) -> None:
        self._touched(experiment_ids)

    def _touched(self, experiment_ids: Iterable[str]) -> None:
        self._allocator.touched(experiment_ids)
        if self._allocator.has_work:
            self._due.set()

    async def _show(self) -> None:
        recorder, metrics = self._recorder, self._metrics
        oldest_ms = recorder.oldest_ms()
        metrics.ledger_lag.set(0.0 if oldest_ms is None else max(0.0, self._clock() - oldest_ms / 1_000))
        metrics.waiting.set(recorder.waiting)
        metrics.kept.set(recorder.writing.kept.count)
        metrics.dropped.inc(recorder.dropped - self._shown_as_dropped)
        self._shown_as_dropped = recorder.dropped
        for part, away in self.degraded_dependencies().items():
            metrics.degraded.labels(part).set(away)
