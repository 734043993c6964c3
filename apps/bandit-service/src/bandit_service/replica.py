"""One process's parts and how they are wired; opened and closed in order."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import numpy as np
import structlog

from bandit_core.rules.arm_selector import ArmSelector
from bandit_core.rules.experiment import Experiment
from bandit_core.stopping import Verdict
from bandit_service.allocation.copies import Copies
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_models import LinearModels
from bandit_service.allocation.loop import Allocator
from bandit_service.allocation.merged_totals import MergedTotals
from bandit_service.allocation.publication import Publication
from bandit_service.allocation.settler import Settler
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.decisions.own_ids import OwnIdDecisions
from bandit_service.api.decisions.recording import Recording
from bandit_service.api.decisions.request_ids import RequestIds
from bandit_service.api.decisions.resolver import DecisionResolver
from bandit_service.api.decisions.service import Decisions
from bandit_service.api.experiments.service import Experiments
from bandit_service.api.results.service import Records
from bandit_service.api.rewards.service import Rewards
from bandit_service.background import Background
from bandit_service.compat.banditdb.export import Exports
from bandit_service.compat.banditdb.service import BanditDb
from bandit_service.domain.clock import AnchoredClock
from bandit_service.domain.decision_id import DecisionIds
from bandit_service.http.auth import KeyRing
from bandit_service.http.health import Readiness
from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.evaluations import EvaluationsRepository
from bandit_service.ledger.experiments import ExperimentsRepository
from bandit_service.ledger.interactions import Interactions
from bandit_service.ledger.leases import LeasesRepository
from bandit_service.ledger.linear_outcomes import LinearOutcomes
from bandit_service.ledger.own_ids import OwnIdsRepository
from bandit_service.ledger.partitions import Partitions
from bandit_service.ledger.pool import make_pool
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.retention import RetentionStore
from bandit_service.ledger.sample_ratios import SampleRatios
from bandit_service.ledger.served import ServedRepository
from bandit_service.ledger.settling import Settling
from bandit_service.ledger.snapshots import SnapshotsRepository
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.traffic import TrafficRepository
from bandit_service.ledger.weight_periods import WeightPeriodsRepository
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.ledger.writer import LedgerWriter
from bandit_service.metrics import Metrics
from bandit_service.mirror.api_keys import MirroredApiKeys
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.own_ids import OwnIds
from bandit_service.mirror.publication import Mirror
from bandit_service.mirror.subscription import Announcer, Subscription
from bandit_service.operations import doctor
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.operations.retention import RetentionKeeper
from bandit_service.results.experiment_report import ExperimentReports
from bandit_service.results.report import Reports
from bandit_service.serving.experiment_cache import ExperimentCache
from bandit_service.serving.random_bytes import RandomBytesPool
from bandit_service.serving.subset_vectors import SubsetVectors
from bandit_service.serving.uniform_stream import UniformStream
from bandit_service.settings import Settings
from bandit_service.spool.keeper import Keeper
from bandit_service.spool.pending import Limits
from bandit_service.spool.pickup import Pickup
from bandit_service.spool.recorder import Recorder
from bandit_service.spool.stream import Streams

DRAIN_SECONDS: Final = 5.0
log = structlog.get_logger(__name__)


class Replica:
    """Everything a process needs, wired but not opened before `running`."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float], rng: np.random.Generator) -> None:
        self.metrics = Metrics()
        self._settings = settings
        self._local_clock = clock
        self._clock = AnchoredClock(time.monotonic, now=clock())
        self._draining = False
        self._open_stores(settings)
        self._wire_recording(settings)
        self._wire_learning(settings)
        self._wire_requests(settings, rng)

    def _open_stores(self, settings: Settings) -> None:
        redis_url, timeout = settings.redis_url.get_secret_value(), settings.redis_timeout
        self._pool = make_pool(
            settings.postgres_dsn.get_secret_value(),
            min_size=settings.postgres_pool_min,
            max_size=settings.postgres_pool_max,
            prepare=settings.postgres_prepare,
        )
        self._redis = make_redis(redis_url, timeout=timeout)
        sender = uuid.uuid4().hex
        self._subscription = Subscription(redis_url, timeout=timeout, own=sender)
        self._streams = Streams(redis_url, timeout=timeout)
        self._mirror = Mirror(self._redis, uuid.uuid4().hex)
        self._announcer = Announcer(self._redis, sender)
        self._producers = Producers(self._pool)
        self.keyring = KeyRing(
            ApiKeysRepository(self._pool),
            MirroredApiKeys(self._redis),
            required=settings.authenticates,
            monotonic=time.monotonic,
        )

    def _wire_recording(self, settings: Settings) -> None:
        writer = self._writer = LedgerWriter(self._pool)
        self._recorder = Recorder(
            writer=writer,
            monotonic=time.monotonic,
            first_number=secrets.randbits(61),
            limits=Limits(memory=settings.waiting_memory * 2**20, patience=settings.postgres_timeout),
            # The background is wired later, since it needs the recorder.
            on_written=lambda names: self._background.written(names),  # noqa: PLW0108
        )
        self._leases_repository = LeasesRepository(self._pool, holder="")
        self._settling = Settling(self._pool)
        self._keeper = Keeper(
            recorder=self._recorder,
            producers=self._producers,
            streams=self._streams,
            pickup=Pickup(
                streams=self._streams,
                producers=self._producers,
                writer=writer,
                writing=self._recorder.writing,
                dead_after=settings.lease_seconds,
            ),
            clock=self._clock,
            monotonic=time.monotonic,
            new_name=lambda: uuid.uuid4().hex,
            on_named=self._leases_repository.rename,
            on_slot=self._on_slot,
            dead_after=settings.lease_seconds,
        )

    def _wire_learning(self, settings: Settings) -> None:
        pool, clock = self._pool, self._clock
        linear = LinearModels(LinearOutcomes(pool), clock=clock)
        self._cache = ExperimentCache(self._mirror, ServedRepository(pool), linear=linear.record, clock=clock)
        self._leases = Leases(self._leases_repository, life=settings.lease_seconds)
        weights, self._totals = WeightsRepository(pool), TotalsRepository(pool)
        allocator = Allocator(
            leases=self._leases,
            repository=self._leases_repository,
            settler=Settler(self._settling, clock=clock),
            linear=linear,
            totals=MergedTotals(self._totals, WeightPeriodsRepository(pool), clock=clock),
            weights=weights,
            copies=Copies(
                mirror=self._mirror,
                announcer=self._announcer,
                cache=self._cache,
                weights=weights,
                clock=clock,
            ),
            cache=self._cache,
            conclude=self._conclude_by_rule,
            metrics=self.metrics,
            may_settle=lambda: self._recorder.others_follow,
            clock=clock,
        )
        self._publication = Publication(
            mirror=self._mirror,
            announcer=self._announcer,
            cache=self._cache,
            leases=self._leases,
            allocator=allocator,
        )
        partitions, self._snapshots = Partitions(pool), SnapshotsRepository(pool)
        self._background = Background(
            recorder=self._recorder,
            allocator=allocator,
            leases=self._leases,
            cache=self._cache,
            announcer=self._announcer,
            subscription=self._subscription,
            snapshots=self._snapshots,
            sample_ratios=SampleRatios(pool),
            partitions=PartitionKeeper(partitions, clock=clock),
            retention=RetentionKeeper(
                partitions, RetentionStore(pool), Agreement(pool), days=settings.keep_events_days, clock=clock
            ),
            metrics=self.metrics,
            clock=clock,
        )

    def _wire_requests(self, settings: Settings, rng: np.random.Generator) -> None:
        clock = self._clock
        self.reports = Reports(
            totals=self._totals,
            weights=WeightsRepository(self._pool),
            mirror=self._mirror,
            clock=clock,
            caught_up=self._caught_up,
        )
        self.experiment_reports = ExperimentReports(self.reports, TrafficRepository(self._pool), clock=clock)
        self.records = Records(self._snapshots, EvaluationsRepository(self._pool), caught_up=self._caught_up)
        self.experiments = Experiments(ExperimentsRepository(self._pool), self._publication, self.reports, clock=clock)
        ids = DecisionIds(settings.decision_keys, RandomBytesPool(secrets.token_bytes).take)
        self.lookup = ExperimentLookup(self._cache)
        claims = OwnIds(self._redis)
        resolver = DecisionResolver(
            lookup=self.lookup,
            ids=ids,
            claims=claims,
            repository=OwnIdsRepository(self._pool),
            is_store_whole=self._recorder.is_store_whole,
        )
        recording = Recording(self._recorder)
        uniforms = UniformStream(rng)
        self.decisions = Decisions(
            lookup=self.lookup,
            resolver=resolver,
            recording=recording,
            own_ids=OwnIdDecisions(claims=claims, recording=recording),
            request_ids=RequestIds(claims, is_store_there=lambda: self._recorder.health.spool),
            ids=ids,
            arm_selector=ArmSelector(uniform=uniforms.next, generator=rng, subset_vectors=SubsetVectors()),
            clock=clock,
            metrics=self.metrics,
        )
        self.rewards = Rewards(
            lookup=self.lookup,
            resolver=resolver,
            recording=recording,
            clock=clock,
            new_id=lambda: uuid.uuid4().hex,
            metrics=self.metrics,
        )
        self.banditdb = BanditDb(
            experiments=self.experiments,
            lookup=self.lookup,
            decisions=self.decisions,
            rewards=self.rewards,
            resolver=resolver,
            reports=self.experiment_reports,
            exports=Exports(
                settings.export_dir, interactions=Interactions(self._pool), producers=self._producers, clock=clock
            ),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything, turn the loops, and at the end write everything that was acknowledged into the ledger."""
        await self._pool.open(wait=False)
        await self.keyring.refresh()
        await self._keeper.beat()
        recording = asyncio.create_task(self._recorder.run())
        keeping = asyncio.create_task(self._keeper.run())
        turning = asyncio.create_task(self._background.run())
        refreshing = asyncio.create_task(self.keyring.keep_fresh(self._settings.keyring_refresh))
        looking = asyncio.create_task(doctor.warn(self._settings, clock=self._local_clock))
        try:
            yield
        finally:
            self._draining = True
            for task in (refreshing, looking):
                task.cancel()
            await asyncio.gather(refreshing, looking, return_exceptions=True)
            await self._drain(recording, keeping, turning)
            await self._subscription.close()
            await self._streams.close()
            await self._redis.aclose()
            await self._pool.close(timeout=1.0)

    def readiness(self) -> Readiness:
        """Say whether requests can be answered, and which parts do not do their work meanwhile."""
        degraded = [part for part, away in self._background.degraded_dependencies().items() if away]
        if self._draining:
            return Readiness(status="draining", degraded=degraded)
        return Readiness(status="ready" if self._cache.has_started else "starting", degraded=degraded)

    async def _drain(self, *running: asyncio.Task[None]) -> None:
        recording, _, turning = running
        self._background.stop()
        self._recorder.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(turning, recording)
        self._keeper.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._background.release()
        await self._keeper.leave()
        log.info("drained", unwritten=self._recorder.waiting)

    def _on_slot(self, slot: int) -> None:
        self._writer.slot = self._settling.slot = slot

    async def _caught_up(self, experiment_id: str, seconds: float) -> None:
        """Wait until what this process took of an experiment is written and settled."""
        deadline = time.monotonic() + seconds
        await self._recorder.caught_up(seconds)
        with suppress(PostgresUnavailableError):
            while self._recorder.others_follow and time.monotonic() < deadline:
                if not await self._leases_repository.unsettled([experiment_id]):
                    return
                await asyncio.sleep(seconds / 10)

    async def _conclude_by_rule(self, experiment: Experiment, verdict: Verdict) -> None:
        await self.experiments.conclude_by_rule(experiment, verdict)
