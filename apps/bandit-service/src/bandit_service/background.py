"""What runs beside the requests: leases, allocations, the way into Postgres, and keeping memory fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bandit_service.allocator.leases import Leases
from bandit_service.allocator.loop import Allocator
from bandit_service.allocator.publication import Publication
from bandit_service.decisions.directory import Directory
from bandit_service.events.committer import Committer
from bandit_service.events.reconcile import Reconciler
from bandit_service.events.writer import Writer
from bandit_service.metrics import Metrics
from bandit_service.postgres_store.errors import PostgresUnavailableError
from bandit_service.postgres_store.experiments import ExperimentsRepository
from bandit_service.postgres_store.history import History
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.store import RedisStore, State

ALLOCATE_EVERY: Final = 0.05
JUDGE_EVERY: Final = 1.0
DRAIN_EVERY: Final = 0.2
SWEEP_EVERY: Final = 1.0
MIRROR_EVERY: Final = 2.0
FORGET_PRODUCERS_AFTER: Final = 3_600.0
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
        history: History,
        reconciler: Reconciler,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._directory = directory
        self._leases = leases
        self._committer = committer
        self._allocator = allocator
        self._experiments = experiments
        self._publication = publication
        self._writer = writer
        self._history = history
        self._reconciler = reconciler
        self._metrics = metrics
        self._clock = clock
        self._stopping = asyncio.Event()
        self._postgres_away = False
        self._postgres_seen = False
        self._store_seen = False

    async def run(self) -> None:
        """Turn all loops until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(ALLOCATE_EVERY, self._allocate))
            tasks.create_task(self._every(JUDGE_EVERY, self._allocator.judge))
            tasks.create_task(self._every(DRAIN_EVERY, self._drain))
            tasks.create_task(self._every(SWEEP_EVERY, self._sweep))
            tasks.create_task(self._every(MIRROR_EVERY, self._look_at_postgres))

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
        }

    def stop(self) -> None:
        self._stopping.set()

    async def finish(self) -> None:
        """Write what the stream still holds to Postgres, as far as both answer, and give the leases back."""
        try:
            while await self._drain():
                pass
            await self._leases.release()
        except _AWAY as error:
            log.warning("left_for_another_process", reason=type(error).__name__)

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
        touched = [lane for lane in self._committer.lanes.values() if lane.touched]
        unowned = [lane.experiment_id for lane in touched if not self._leases.owns(lane.experiment_id)]
        for lane in touched:
            lane.touched = False
        if unowned:
            await self._leases.claim(unowned)
        await self._allocator.tick()

    async def _drain(self) -> bool:
        """Write one round of events; say whether there may be more at once."""
        owned = self._leases.owned
        states = dict(zip(owned, await self._store.states(owned), strict=True)) if owned else {}
        more, stale = await self._writer.drain(states)
        await self._history.flush()
        for name, state in states.items():
            await self._snapshot(name, state)
        for experiment_id in stale:
            await self._condemn(experiment_id)
        return more

    async def _snapshot(self, experiment_id: str, state: State) -> None:
        serving = self._directory.get(experiment_id)
        if serving is not None:
            await self._history.snapshot(serving.experiment, state)

    async def _condemn(self, experiment_id: str) -> None:
        """Have the store rebuilt: its stream does not continue what Postgres has."""
        serving = self._directory.get(experiment_id)
        if serving is None:
            return
        log.warning("stream_does_not_continue", experiment_id=experiment_id)
        lane = self._committer.lane(experiment_id, serving.experiment.reward_window)
        self._reconciler.start(lane, refill=True)

    async def _sweep(self) -> None:
        """Take over what nobody looks after, refresh memory where the store has moved on, release what is safe."""
        self._measure()
        known = await self._store.experiment_ids()
        self._store_seen = True
        lost = await self._leases.claim(known)
        self._writer.forget(sorted(lost))
        for experiment_id in lost:
            self._allocator.forget(experiment_id)
        for experiment_id in self._leases.owned:
            if self._directory.get(experiment_id) is None:
                await self._directory.refresh(experiment_id)
        names = [serving.experiment.id for serving in self._directory.all()]
        for name, state in zip(names, await self._store.states(names), strict=True):
            await self._keep_up(name, state)

    async def _keep_up(self, experiment_id: str, state: State) -> None:
        serving = self._directory.get(experiment_id)
        if serving is None:
            return
        if (state.revision, state.weights_version) != (serving.experiment.revision, serving.weights_version):
            await self._directory.refresh(experiment_id)
        lane = self._committer.lane(experiment_id, serving.experiment.reward_window)
        if state.epoch != lane.epoch:
            self._reconciler.start(lane)
        else:
            lane.release(state.committed)
        if self._leases.owns(experiment_id):
            before = round((self._clock() - FORGET_PRODUCERS_AFTER) * 1_000)
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
        for name, state in zip(names, await self._store.states(names), strict=True):
            if state.revision < revisions[name]:
                experiment = await self._experiments.get(name)
                # One that was archived is not brought back into a store that has forgotten it.
                if experiment is not None and (experiment.status != "archived" or state.revision >= 0):
                    await self._publication.publish(experiment)

    def _measure(self) -> None:
        metrics, lanes = self._metrics, self._committer.lanes.values()
        metrics.stream_lag.set(self._writer.lag)
        metrics.waiting.set(self._committer.waiting)
        metrics.retained.set(sum(len(lane.retained) for lane in lanes))
        metrics.forgotten.set(sum(lane.forgotten for lane in lanes))
        for part, away in self.parts_away().items():
            metrics.degraded.labels(part).set(away)
