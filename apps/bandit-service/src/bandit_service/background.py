"""What runs beside the requests: leases, allocations, the way into Postgres, and keeping memory fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_fold import LinearFold
from bandit_service.allocation.loop import Allocator
from bandit_service.allocation.publication import Publication
from bandit_service.events.committer import Committer
from bandit_service.events.reconcile import Reconciler
from bandit_service.events.snapshots import Snapshots
from bandit_service.events.writer import Writer
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.events import Refusal, StreamBatch
from bandit_service.ledger.experiments import ExperimentsRepository
from bandit_service.ledger.history import History
from bandit_service.metrics import Metrics
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.state import Head
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.directory import Directory
from bandit_service.serving.serving import Serving

ALLOCATE_EVERY: Final = 0.05
JUDGE_EVERY: Final = 1.0
DRAIN_EVERY: Final = 0.2
SWEEP_EVERY: Final = 1.0
MIRROR_EVERY: Final = 2.0
PARTITIONS_EVERY: Final = 600.0
FORGET_PRODUCERS_EVERY: Final = 600.0
FORGET_PRODUCERS_AFTER: Final = 86_400.0
BUSY_FOR: Final = 2.0
_HAND_OVER_EVERY: Final = 0.02
_AWAY = (StoreUnavailableError, StoreFullError, PostgresUnavailableError)
log = structlog.get_logger(__name__)


class Background:
    """The loops of one process. Each goes on after an outage of what it needs."""

    def __init__(
        self,
        *,
        store: RedisStore,
        directory: Directory,
        leases: Leases,
        committer: Committer,
        allocator: Allocator,
        experiments: ExperimentsRepository,
        publication: Publication,
        writer: Writer,
        snapshots: Snapshots,
        fold: LinearFold,
        history: History,
        reconciler: Reconciler,
        partitions: PartitionKeeper,
        metrics: Metrics,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._directory = directory
        self._leases = leases
        self._committer = committer
        self._allocator = allocator
        self._experiments = experiments
        self._publication = publication
        self._writer = writer
        self._snapshots = snapshots
        self._fold = fold
        self._history = history
        self._reconciler = reconciler
        self._partitions = partitions
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._busy_until: dict[str, float] = {}
        self._owned_heads: dict[str, Head] = {}
        self._swept: dict[str, Head] = {}
        self._stopping = asyncio.Event()
        self._postgres_away = False
        self._postgres_seen = False
        self._store_seen = False

    async def run(self) -> None:
        """Turn all loops until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(ALLOCATE_EVERY, self._allocate))
            tasks.create_task(self._every(JUDGE_EVERY, self._judge))
            tasks.create_task(self._every(DRAIN_EVERY, self._write))
            tasks.create_task(self._every(SWEEP_EVERY, self._sweep))
            tasks.create_task(self._every(MIRROR_EVERY, self._look_at_postgres))
            tasks.create_task(self._every(FORGET_PRODUCERS_EVERY, self._forget_producers))
            tasks.create_task(self._every(PARTITIONS_EVERY, self._partitions.keep_ahead))

    @property
    def has_started(self) -> bool:
        """Whether definitions and weights can be had from the store, or failing that from Postgres."""
        return self._store_seen or self._postgres_seen

    def parts_away(self) -> dict[str, bool]:
        """Return what this process goes on without at the moment."""
        return {
            "redis": not self._committer.available,
            "redis_memory": self._committer.full,
            "postgres": self._postgres_away,
            "postgres_is_older": self._reconciler.postgres_is_older,
        }

    def stop(self) -> None:
        self._stopping.set()

    async def finish(self) -> None:
        """Wait until Postgres has every event this process keeps, as far as it and the store answer."""
        try:
            while await self._drain(self._leases.owned) or any(
                lane.retained for lane in self._committer.lanes.values()
            ):
                await self._committer.look()
                await asyncio.sleep(_HAND_OVER_EVERY)
        except _AWAY as error:
            log.warning("left_for_another_process", reason=type(error).__name__)

    async def release(self) -> None:
        """Give the leases back, so that another process can go on at once."""
        with suppress(*_AWAY):
            await self._leases.release()

    async def _every(self, seconds: float, step: Callable[[], Awaitable[object]]) -> None:
        while not self._stopping.is_set():
            try:
                if await step():
                    continue
            except _AWAY as error:
                log.debug("waiting", step=step.__name__, reason=type(error).__name__)
            except Exception:
                # A loop that ended would silently stop allocation or durability for this process.
                log.exception("background_step_failed", step=step.__name__)
            try:
                await asyncio.wait_for(self._stopping.wait(), seconds)
            except TimeoutError:
                continue

    async def _allocate(self) -> None:
        """Look after what is busy, and once after every sweep after everything."""
        for lane in self._committer.lanes.values():
            if lane.touched:
                lane.touched = False
                self._attend_to(lane.experiment_id)
        swept, self._swept = self._swept, {}
        busy = self._busy()
        fresh = dict(zip(busy, await self._store.heads(busy), strict=True))
        await self._allocator.tick({**swept, **fresh})

    async def _judge(self) -> None:
        await self._allocator.judge(self._owned_heads)

    async def _write(self) -> bool:
        idle = [name for name, head in self._owned_heads.items() if self._is_behind(name, head)]
        return await self._drain(sorted({*self._busy(), *idle}))

    def _is_behind(self, experiment_id: str, head: Head) -> bool:
        return head.seq > head.committed or self._snapshots.wants(experiment_id, head)

    async def _drain(self, experiment_ids: Sequence[str]) -> bool:
        """Write one round of events; say whether there may be more at once."""
        names = [name for name in experiment_ids if name in self._verified]
        done = await self._writer.drain(names)
        for name, refusal in done.refused.items():
            self._reconsider(name, refusal)
        await self._learn(done.written)
        for name, head in done.heads.items():
            serving = self._directory.get(name)
            if serving is not None:
                await self._snapshots.keep(serving.experiment, head)
        await self._history.flush()
        return done.has_more

    async def _learn(self, written: Sequence[StreamBatch]) -> None:
        """Let linear models learn from what Postgres has taken."""
        for batch in written:
            serving = self._directory.get(batch.experiment_id)
            if serving is not None and serving.experiment.is_contextual:
                await self._fold.take(serving.experiment, batch)
                await self._fold.keep(serving.experiment)

    @property
    def _verified(self) -> set[str]:
        """The experiments whose stream this process knows to continue what Postgres has."""
        return {name for name, lane in self._committer.lanes.items() if lane.is_verified}

    def _reconsider(self, experiment_id: str, refusal: Refusal) -> None:
        """See what is wrong with a stream that Postgres did not take; one with a gap is rebuilt."""
        log.warning("stream_refused", experiment_id=experiment_id, reason=refusal.name.lower())
        self._reconciler.start(self._committer.lanes[experiment_id], refill=refusal is Refusal.GAP)

    async def _sweep(self) -> None:
        """Take over what nobody looks after, and refresh memory where the store has moved on."""
        self._measure()
        known = await self._store.experiment_ids()
        self._store_seen = True
        for experiment_id in await self._leases.keep(known):
            self._leave(experiment_id)
        for experiment_id in self._leases.owned:
            if self._directory.get(experiment_id) is None:
                await self._directory.refresh(experiment_id)
        servings = self._directory.all()
        heads = await self._store.heads([serving.experiment.id for serving in servings])
        for serving, head in zip(servings, heads, strict=True):
            await self._keep_up(serving, head)
        before, self._owned_heads = (
            self._owned_heads,
            {
                serving.experiment.id: head
                for serving, head in zip(servings, heads, strict=True)
                if self._leases.owns(serving.experiment.id)
            },
        )
        for name, head in self._owned_heads.items():
            if before.get(name) != head:
                self._attend_to(name)
        self._swept = self._owned_heads

    def _leave(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        self._writer.forget(experiment_id)
        self._snapshots.forget(experiment_id)
        self._allocator.forget(experiment_id)
        self._fold.forget(experiment_id)

    async def _keep_up(self, serving: Serving, head: Head) -> None:
        experiment = serving.experiment
        if (head.revision, head.weights_version) != (experiment.revision, serving.weights_version):
            await self._directory.refresh(experiment.id)
        lane = self._committer.lane(experiment.id, experiment.reward_window)
        if head.epoch is None or head.epoch != lane.epoch:
            self._reconciler.start(lane)

    def _attend_to(self, experiment_id: str) -> None:
        self._busy_until[experiment_id] = self._monotonic() + BUSY_FOR

    def _busy(self) -> list[str]:
        """The experiments of this process in which something happened of late: looked at often, others once a sweep."""
        now = self._monotonic()
        self._busy_until = {name: until for name, until in self._busy_until.items() if until > now}
        return [name for name in self._busy_until if self._leases.owns(name)]

    async def _forget_producers(self) -> None:
        before = round((self._clock() - FORGET_PRODUCERS_AFTER) * 1_000)
        for experiment_id in self._leases.owned:
            await self._store.forget_producers(experiment_id, before)

    async def _look_at_postgres(self) -> None:
        """Ask Postgres for the revision of every experiment, and bring those into force that the store is behind on."""
        try:
            revisions = await self._experiments.revisions()
        except PostgresUnavailableError as error:
            if not self._postgres_away:
                log.warning("postgres_away", reason=str(error))
            self._postgres_away = True
            return
        self._postgres_away, self._postgres_seen = False, True
        await self._mirror(revisions)

    async def _mirror(self, revisions: dict[str, int]) -> None:
        names = list(revisions)
        for name, head in zip(names, await self._store.heads(names), strict=True):
            if head.revision < revisions[name]:
                experiment = await self._experiments.get(name)
                # One that was archived is not brought back into a store that has forgotten it.
                if experiment is not None and (experiment.status != "archived" or head.revision >= 0):
                    await self._publication.publish(experiment)

    def _measure(self) -> None:
        metrics, lanes = self._metrics, self._committer.lanes.values()
        metrics.stream_lag.set(self._writer.lag)
        metrics.waiting.set(self._committer.waiting)
        metrics.retained.set(sum(len(lane.retained) for lane in lanes))
        metrics.forgotten.set(sum(lane.forgotten for lane in lanes))
        for part, away in self.parts_away().items():
            metrics.degraded.labels(part).set(away)
