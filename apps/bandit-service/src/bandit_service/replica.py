"""One process's parts and how they are wired; opened and closed in order."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import numpy as np
import structlog

from bandit_core.stopping import Verdict
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_fold import LinearFold
from bandit_service.allocation.loop import Allocator
from bandit_service.allocation.publication import Publication
from bandit_service.api.decisions.intake import Intake
from bandit_service.api.decisions.service import Decisions
from bandit_service.api.decisions.tickets import Tickets
from bandit_service.api.experiments.service import Experiments
from bandit_service.api.rewards.service import Rewards
from bandit_service.background import Background
from bandit_service.compat.banditdb.export import Exports
from bandit_service.compat.banditdb.service import BanditDb
from bandit_service.domain.decision_id import DecisionIds
from bandit_service.domain.experiment import Experiment
from bandit_service.events.committer import Committer, Limits
from bandit_service.events.lane import Lane, Reply
from bandit_service.events.reconcile import Reconciler
from bandit_service.events.refill import Refiller
from bandit_service.events.snapshots import Snapshots
from bandit_service.events.writer import Writer
from bandit_service.http.auth import KeyRing
from bandit_service.http.health import Readiness
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.events import EventLog
from bandit_service.ledger.experiments import ExperimentsRepository
from bandit_service.ledger.history import History
from bandit_service.ledger.interactions import Interactions
from bandit_service.ledger.partitions import Partitions
from bandit_service.ledger.pool import make_pool
from bandit_service.metrics import Metrics
from bandit_service.operations import doctor
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.redis_store.api_keys import MirroredApiKeys
from bandit_service.redis_store.clock import StoreClock
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.errors import StoreUnavailableError
from bandit_service.redis_store.store import RedisStore
from bandit_service.redis_store.streams import Streams
from bandit_service.results.experiment_report import ExperimentReports
from bandit_service.results.report import Reports
from bandit_service.serving.chooser import Chooser
from bandit_service.serving.directory import Directory
from bandit_service.serving.entropy import Entropy
from bandit_service.serving.uniforms import Uniforms
from bandit_service.settings import Settings

DRAIN_SECONDS = 5.0
log = structlog.get_logger(__name__)


class Replica:
    """Everything a process needs, wired but not opened before `running`."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float], rng: np.random.Generator) -> None:
        self.metrics = Metrics()
        store_clock = StoreClock(clock)
        self._settings = settings
        self._clock = clock
        self._draining = False
        token = uuid.uuid4().hex
        redis_url = settings.redis_url.get_secret_value()
        self._pool = make_pool(
            settings.postgres_dsn.get_secret_value(),
            min_size=settings.postgres_pool_min,
            max_size=settings.postgres_pool_max,
        )
        self._store = RedisStore(redis_url, timeout=settings.redis_timeout)
        self._connection = PipelinedConnection(redis_url, timeout=settings.redis_timeout, scripts=("commit",))
        self._events = EventLog(self._pool)
        repository = ExperimentsRepository(self._pool)
        self.keyring = KeyRing(
            ApiKeysRepository(self._pool), MirroredApiKeys(self._store), required=settings.authenticates
        )
        self._directory = Directory(
            self._store, definition=repository.get, last_allocation=self._events.last_allocation, clock=clock
        )
        self._committer = Committer(
            self._connection,
            producer=token,
            clock=store_clock,
            limits=Limits(),
            on_reply=self._on_reply,
            on_doubt=self._doubt,
        )
        self._reconciler = Reconciler(
            directory=self._directory,
            definition=repository.get,
            store=self._store,
            events=self._events,
            refiller=Refiller(self._store, self._events, token=token, clock=store_clock),
            wake=self._committer.wake,
        )
        leases = Leases(self._store, token=token, life=settings.lease_seconds, monotonic=time.monotonic)
        history = History(self._events)
        self._streams = Streams(PipelinedConnection(redis_url, timeout=settings.redis_timeout, scripts=Streams.SCRIPTS))
        fold = LinearFold(self._events, clock=store_clock)
        allocator = Allocator(
            store=self._store,
            fold=fold,
            directory=self._directory,
            leases=leases,
            committer=self._committer,
            history=history,
            conclude=self._conclude_by_rule,
            metrics=self.metrics,
            clock=store_clock,
        )
        self.reports = Reports(self._store, clock=store_clock)
        self.experiment_reports = ExperimentReports(self.reports, self._events, clock=store_clock)
        publication = Publication(
            store=self._store,
            directory=self._directory,
            committer=self._committer,
            reconciler=self._reconciler,
            leases=leases,
            allocator=allocator,
        )
        self.experiments = Experiments(
            repository,
            publication,
            self.reports,
            clock=store_clock,
        )
        ids = DecisionIds(settings.decision_keys, Entropy(secrets.token_bytes).take)
        self.intake = Intake(directory=self._directory, committer=self._committer, settled=self._settled)
        tickets = Tickets(intake=self.intake, ids=ids, directory=self._directory, store=self._store)
        uniforms = Uniforms(rng)
        self.decisions = Decisions(
            intake=self.intake,
            tickets=tickets,
            ids=ids,
            uniforms=uniforms,
            chooser=Chooser(uniform=uniforms.next, generator=rng),
            clock=store_clock,
            metrics=self.metrics,
        )
        self.rewards = Rewards(
            intake=self.intake,
            tickets=tickets,
            clock=store_clock,
            new_id=lambda: uuid.uuid4().hex,
            metrics=self.metrics,
        )
        self.banditdb = BanditDb(
            experiments=self.experiments,
            intake=self.intake,
            decisions=self.decisions,
            rewards=self.rewards,
            tickets=tickets,
            reports=self.experiment_reports,
            exports=Exports(settings.export_dir, interactions=Interactions(self._pool), store=self._store),
        )
        self._background = Background(
            store=self._store,
            directory=self._directory,
            leases=leases,
            committer=self._committer,
            allocator=allocator,
            experiments=repository,
            publication=publication,
            writer=Writer(self._streams, self._events, clock=store_clock),
            fold=fold,
            snapshots=Snapshots(self._streams, self._events, clock=store_clock),
            history=history,
            reconciler=self._reconciler,
            partitions=PartitionKeeper(Partitions(self._pool), clock=store_clock),
            metrics=self.metrics,
            clock=store_clock,
            monotonic=time.monotonic,
        )
        self._refreshes: set[asyncio.Task[object]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything, turn the loops, and at the end drain: nothing that was acknowledged stays only here."""
        await self._pool.open(wait=False)
        await self.keyring.refresh()
        committing = asyncio.create_task(self._committer.run())
        turning = asyncio.create_task(self._background.run())
        refreshing = asyncio.create_task(self.keyring.keep_fresh(self._settings.keyring_refresh))
        looking = asyncio.create_task(doctor.warn(self._settings, clock=self._clock))
        try:
            yield
        finally:
            self._draining = True
            for task in (refreshing, looking):
                task.cancel()
            await asyncio.gather(refreshing, looking, return_exceptions=True)
            await self._drain(committing, turning)
            # A look-up that outlived the store's connections would open one that nobody closes.
            await asyncio.gather(*self._refreshes, return_exceptions=True)
            await self._reconciler.close()
            await self._connection.close()
            await self._streams.close()
            await self._store.close()
            await self._pool.close(timeout=1.0)

    def readiness(self) -> Readiness:
        """Say whether requests can be answered, and what is away meanwhile."""
        background = self._background
        degraded = [part for part, away in background.parts_away().items() if away]
        if self._draining:
            return Readiness(status="draining", degraded=degraded)
        return Readiness(status="ready" if background.has_started else "starting", degraded=degraded)

    async def _drain(self, committing: asyncio.Task[None], turning: asyncio.Task[None]) -> None:
        self._committer.close()
        self._background.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(committing, turning)
                await self._background.finish()
        for task in (committing, turning):
            task.cancel()
        await asyncio.gather(committing, turning, return_exceptions=True)
        await self._background.release()
        log.info("drained", unrecorded=self._committer.waiting)

    async def _settled(self, lane: Lane) -> None:
        if lane.epoch is None:
            self._reconciler.start(lane)
        await self._reconciler.settled(lane)

    async def _conclude_by_rule(self, experiment: Experiment, verdict: Verdict) -> None:
        await self.experiments.conclude_by_rule(experiment, verdict)

    def _on_reply(self, lane: Lane, reply: Reply) -> None:
        serving = self._directory.get(lane.experiment_id)
        if serving is None or (serving.experiment.revision, serving.weights_version) != (
            reply.revision,
            reply.weights_version,
        ):
            task = asyncio.create_task(self._refresh(lane.experiment_id))
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)

    async def _refresh(self, experiment_id: str) -> None:
        # Without an answer the weights in memory stay in force; the next reply or sweep asks again.
        with suppress(StoreUnavailableError, PostgresUnavailableError):
            await self._directory.refresh(experiment_id)

    def _doubt(self, lane: Lane) -> None:
        self._reconciler.start(lane)
