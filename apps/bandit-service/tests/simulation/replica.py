"""One process of the service: its real parts, wired as `bandit_service.replica` does, on simulated surroundings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np

from bandit_core.rules.arm_selector import ArmSelector
from bandit_service.allocation.copies import Copies
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_models import LinearModels
from bandit_service.allocation.loop import Allocator
from bandit_service.allocation.merged_totals import MergedTotals
from bandit_service.allocation.settler import Settler
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.decisions.own_ids import OwnIdDecisions
from bandit_service.api.decisions.recording import Recording
from bandit_service.api.decisions.request_ids import RequestIds
from bandit_service.api.decisions.resolver import DecisionResolver
from bandit_service.api.decisions.service import Decisions
from bandit_service.api.rewards.service import Rewards
from bandit_service.background import Background
from bandit_service.domain.clock import AnchoredClock
from bandit_service.domain.decision_id import DecisionIds
from bandit_service.ledger.leases import LeasesRepository
from bandit_service.ledger.linear_outcomes import LinearOutcomes
from bandit_service.ledger.own_ids import OwnIdsRepository
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.served import ServedRepository
from bandit_service.ledger.settling import Settling
from bandit_service.ledger.totals import TotalsRepository
from bandit_service.ledger.weight_periods import WeightPeriodsRepository
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.ledger.writer import LedgerWriter
from bandit_service.mirror.own_ids import OwnIds
from bandit_service.mirror.publication import Mirror
from bandit_service.mirror.subscription import Announcer, Subscription
from bandit_service.serving.experiment_cache import ExperimentCache
from bandit_service.serving.random_bytes import RandomBytesPool
from bandit_service.serving.subset_vectors import SubsetVectors
from bandit_service.serving.uniform_stream import UniformStream
from bandit_service.spool.keeper import Keeper
from bandit_service.spool.pending import Limits
from bandit_service.spool.pickup import Pickup
from bandit_service.spool.recorder import Recorder
from bandit_service.spool.stream import Streams

from .aside import Aside, shared_metrics
from .loop import OWNER, Owner, SimulatedLoop
from .network import NetworkLink, Strike
from .postgres.pool import SimulatedPool
from .postgres.server import SimulatedPostgres
from .redis.client import SimulatedClient
from .redis.server import SimulatedRedis
from .scale import DEAD_AFTER, PATIENCE, REDIS_TIMEOUT

_KEYS: Final = {1: b"the key of the simulation"}
# Seconds after which a client of Postgres gives a connection up that says nothing.
_POSTGRES_SILENCE: Final = 2.0
_NOWHERE: Final = "redis://nowhere"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all processes have in common."""

    loop: SimulatedLoop
    postgres: SimulatedPostgres
    redis: SimulatedRedis
    epoch: float


class Replica:
    """A process. `start` makes it work, once; after `kill` another one has to take its place.

    Args:
        name: Of this process, for those who look at a schedule.
        clock_ahead: What its own clock is ahead of true time, in seconds.
    """

    def __init__(self, name: str, around: Surroundings, rng: Random, *, clock_ahead: float = 0.0) -> None:
        self.name = name
        self.owner = Owner(name, around.loop.next_number())
        self._loop = around.loop
        self._context = Context()
        self._context.run(OWNER.set, self.owner)
        self._rng = rng
        self.to_postgres = NetworkLink(rng, longest=_POSTGRES_SILENCE)
        self.to_redis = NetworkLink(rng, longest=REDIS_TIMEOUT)
        self._started_at = rng.uniform(0.0, 1_000.0)
        self._epoch = around.epoch + clock_ahead
        self._running: list[asyncio.Task[None]] = []
        self._calls: dict[asyncio.Task[Any], asyncio.Future[Any]] = {}
        self.pool: SimulatedPool = around.postgres.pool(self.to_postgres, client=name)
        self._wire(SimulatedClient(around.redis, self.to_redis, timeout=REDIS_TIMEOUT))

    # -- what happens to it

    def start(self) -> None:
        self._loop.owners.append(self.owner)
        self._spawn(self._run())

    def kill(self) -> None:
        """End as SIGKILL ends a process: nothing is cleaned up, and its connections break."""
        self._loop.kill(self.owner)
        self.pool.cut()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError())

    def freeze(self) -> None:
        self.owner.is_frozen = True

    def thaw(self) -> None:
        self.owner.is_frozen = False

    def strike(self, messages: int, happen: Callable[[], None]) -> None:
        """Let something happen to this process in the middle of its work: see `Strike`."""
        self.to_postgres.strike = self.to_redis.strike = Strike(messages, happen)

    async def stop(self) -> None:
        """End in order, as SIGTERM makes a process do, unless it is killed before it has."""
        with suppress(ConnectionRefusedError, ConnectionResetError):
            await self.call(self._drain)
        if self.is_there:
            self.kill()

    @property
    def is_there(self) -> bool:
        return not self.owner.is_dead

    @property
    def holds_leases(self) -> bool:
        return bool(self._leases.held)

    @property
    def parts_away(self) -> list[str]:
        """Return what this process says is not in order; `starting` until it has what it needs to answer."""
        away = [part for part, is_away in self.background.degraded_dependencies().items() if is_away]
        return away if self.cache.has_started else ["starting", *away]

    @property
    def is_idle(self) -> bool:
        return self.recorder.is_idle

    async def call[Answer](self, request: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Have this process handle a request, and return its answer.

        Raises:
            ConnectionRefusedError: the process is not there; ConnectionResetError: it ended before it answered.
        """
        if self.owner.is_dead or not self._running:
            raise ConnectionRefusedError
        answer: asyncio.Future[Answer] = self._loop.create_future()
        task = self._spawn(request())
        self._calls[task] = answer
        task.add_done_callback(self._answered, context=Context())
        try:
            return await answer
        finally:
            self._calls.pop(task, None)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        answer = self._calls.get(task)
        if answer is None or answer.done():
            task.exception()
            return
        error = task.exception()
        if error is None:
            answer.set_result(task.result())
        else:
            answer.set_exception(error)

    def _spawn[Result](self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task: asyncio.Task[Result] = self._loop.create_task(work, context=self._context.copy())
        return task

    # -- as `Replica.running` does

    async def _run(self) -> None:
        await self.pool.open()
        await self.keeper.beat()
        self._running = [
            asyncio.create_task(self.recorder.run()),
            asyncio.create_task(self.keeper.run()),
            asyncio.create_task(self.background.run()),
        ]
        await asyncio.wait(self._running)

    async def _drain(self) -> None:
        if not self._running:
            return
        recording, _, turning = self._running
        self.background.stop()
        self.recorder.close()
        try:
            async with asyncio.timeout(5.0):
                await asyncio.gather(turning, recording)
        except TimeoutError:
            pass
        self.keeper.stop()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.background.release()
        await self.keeper.leave()

    # -- as `Replica.__init__` does

    def _monotonic(self) -> float:
        return self._loop.time() + self._started_at

    def _wire(self, client: SimulatedClient) -> None:
        redis: Any = client
        pool: Any = self.pool
        self._clock = AnchoredClock(self._monotonic, now=self._epoch + self._loop.time())
        sender = self._new_name()
        streams, subscription = Streams(_NOWHERE, timeout=1.0), Subscription(_NOWHERE, timeout=1.0, own=sender)
        streams._redis = subscription._redis = redis
        mirror, announcer = Mirror(redis, self._new_name()), Announcer(redis, sender)
        self._wire_recording(streams, pool)
        self._wire_learning(mirror, announcer, subscription, pool)
        self._wire_requests(redis, pool)

    def _wire_recording(self, streams: Streams, pool: Any) -> None:
        writer = self._writer = LedgerWriter(pool)
        producers = Producers(pool)
        self.recorder = Recorder(
            writer=writer,
            monotonic=self._monotonic,
            first_number=self._rng.getrandbits(61),
            limits=Limits(patience=PATIENCE),
            on_written=lambda names: self.background.written(names),  # noqa: PLW0108 (wired later)
        )
        self._leases_repository = LeasesRepository(pool, holder="")
        self._settling = Settling(pool)
        self.keeper = Keeper(
            recorder=self.recorder,
            producers=producers,
            streams=streams,
            pickup=Pickup(
                streams=streams,
                producers=producers,
                writer=writer,
                writing=self.recorder.writing,
                dead_after=DEAD_AFTER,
            ),
            clock=self._clock,
            monotonic=self._monotonic,
            new_name=self._new_name,
            on_named=self._leases_repository.rename,
            on_slot=self._on_slot,
            dead_after=DEAD_AFTER,
        )

    def _wire_learning(self, mirror: Mirror, announcer: Announcer, subscription: Subscription, pool: Any) -> None:
        clock = self._clock
        linear = LinearModels(LinearOutcomes(pool), clock=clock)
        self.cache = ExperimentCache(mirror, ServedRepository(pool), linear=linear.record, clock=clock)
        leases = self._leases = Leases(self._leases_repository, life=DEAD_AFTER)
        weights = WeightsRepository(pool)
        allocator = Allocator(
            leases=leases,
            repository=self._leases_repository,
            settler=Settler(self._settling, clock=clock),
            linear=linear,
            totals=MergedTotals(TotalsRepository(pool), WeightPeriodsRepository(pool), clock=clock),
            weights=weights,
            copies=Copies(
                mirror=mirror,
                announcer=announcer,
                cache=self.cache,
                weights=weights,
                clock=clock,
            ),
            cache=self.cache,
            conclude=Aside().conclude,
            metrics=shared_metrics(),
            may_settle=lambda: self.recorder.others_follow,
            clock=clock,
        )
        aside: Any = Aside()
        self.background = Background(
            recorder=self.recorder,
            allocator=allocator,
            leases=leases,
            cache=self.cache,
            announcer=announcer,
            subscription=subscription,
            snapshots=aside,
            sample_ratios=aside,
            partitions=aside,
            retention=aside,
            metrics=shared_metrics(),
            clock=clock,
        )

    def _wire_requests(self, redis: Any, pool: Any) -> None:
        generator = np.random.Generator(np.random.PCG64(self._rng.getrandbits(64)))
        lookup, claims, recording = ExperimentLookup(self.cache), OwnIds(redis), Recording(self.recorder)
        ids = DecisionIds(_KEYS, RandomBytesPool(self._rng.randbytes, block=256).take)
        resolver = DecisionResolver(
            lookup=lookup,
            ids=ids,
            claims=claims,
            repository=OwnIdsRepository(pool),
            is_store_whole=self.recorder.is_store_whole,
        )
        uniforms = UniformStream(generator, block=64)
        self.decisions = Decisions(
            lookup=lookup,
            resolver=resolver,
            recording=recording,
            own_ids=OwnIdDecisions(claims=claims, recording=recording),
            request_ids=RequestIds(claims, is_store_there=lambda: self.recorder.health.spool),
            ids=ids,
            arm_selector=ArmSelector(uniform=uniforms.next, generator=generator, subset_vectors=SubsetVectors()),
            clock=self._clock,
            metrics=shared_metrics(),
        )
        self.rewards = Rewards(
            lookup=lookup,
            resolver=resolver,
            recording=recording,
            clock=self._clock,
            new_id=self._new_name,
            metrics=shared_metrics(),
        )

    def _new_name(self) -> str:
        return f"{self.name}-{self._rng.getrandbits(64):016x}"

    def _on_slot(self, slot: int) -> None:
        self._writer.slot = self._settling.slot = slot
