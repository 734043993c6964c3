"""What the holder of a lease does again and again: close windows, compute and publish weights, conclude."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from bandit_core.allocation import Allocation
from bandit_core.stopping import Verdict
from bandit_service.allocation.compute import compute, is_material, judge, update_every
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_fold import LinearFold, Models
from bandit_service.domain.allocation import AllocationRecord
from bandit_service.domain.experiment import Experiment
from bandit_service.domain.linear_model import encode_linear
from bandit_service.events.committer import Committer, QueueFullError
from bandit_service.events.operations import Close, close_of
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.metrics import Metrics
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.state import Head
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.directory import Directory
from bandit_service.serving.serving import Serving

_CLOSE_BATCH = 2_000
_REST_SECONDS = 1.0
_encode = msgspec.json.Encoder().encode
log = structlog.get_logger(__name__)


class AllocationLog(Protocol):
    """Keeps material changes of weights for later reading."""

    def keep(self, experiment_id: str, record: AllocationRecord, allocation: Allocation) -> None:
        """Take note without waiting."""


class Allocator:
    """Publishes the weights of the experiments whose lease this process holds.

    `conclude` is called with an experiment whose stopping rule says so.
    """

    def __init__(
        self,
        *,
        store: RedisStore,
        fold: LinearFold,
        directory: Directory,
        leases: Leases,
        committer: Committer,
        history: AllocationLog,
        conclude: Callable[[Experiment, Verdict], Awaitable[None]],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._fold = fold
        self._directory = directory
        self._leases = leases
        self._committer = committer
        self._history = history
        self._conclude = conclude
        self._metrics = metrics
        self._clock = clock
        self._seen: dict[str, tuple[int | None, int, int, int]] = {}
        self._judged: dict[str, tuple[int | None, int, int]] = {}
        self._kept: dict[str, AllocationRecord] = {}
        self._versions: dict[str, int] = {}
        self._resting_until: dict[str, float] = {}

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        for memory in (self._seen, self._judged, self._kept, self._versions, self._resting_until):
            memory.pop(experiment_id, None)
        self._metrics.forget(experiment_id)

    async def tick(self, heads: Mapping[str, Head]) -> None:
        """Close windows and publish weights, for those of these experiments of this process that need it."""
        await self._for_each(heads, self._look_after)

    async def judge(self, heads: Mapping[str, Head]) -> None:
        """Conclude those of these experiments of this process whose stopping rule says so.

        Raises:
            PostgresUnavailableError: an experiment is done but cannot be concluded yet; to be tried again.
        """
        await self._for_each(heads, self._judge)

    async def publish_now(self, experiment_id: str) -> None:
        """Publish at once, when the definition has changed."""
        serving = self._directory.get(experiment_id)
        if serving is not None and self._leases.owns(experiment_id) and serving.experiment.status != "archived":
            await self._publish(serving)

    async def _for_each(self, heads: Mapping[str, Head], step: Callable[[Serving, Head], Awaitable[None]]) -> None:
        now = self._clock()
        for name, head in heads.items():
            serving = self._directory.get(name)
            if serving is None or head.epoch is None or not self._leases.owns(name):
                continue
            if self._resting_until.get(name, 0.0) > now:
                continue
            try:
                await step(serving, head)
            except (StoreUnavailableError, StoreFullError, PostgresUnavailableError):
                raise
            except Exception:
                # One experiment that cannot be computed must not keep the others from being looked after.
                log.exception("experiment_not_looked_after", experiment_id=name)
                self._resting_until[name] = now + _REST_SECONDS

    async def _look_after(self, serving: Serving, head: Head) -> None:
        experiment = serving.experiment
        if experiment.missing_reward == "zero":
            await self._close_windows(serving)
        if experiment.status == "archived":
            self._metrics.forget(experiment.id)
        if experiment.status not in ("running", "paused") and not experiment.goes_on:
            return
        beliefs = (head.epoch, head.version, experiment.revision, self._fold.seq(experiment.id))
        if self._seen.get(experiment.id) != beliefs and self._is_due(serving):
            await self._publish(serving)

    async def _models(self, experiment: Experiment) -> Models | None:
        """Return the experiment's linear models, if it has any and they can be had."""
        if not experiment.is_contextual:
            return None
        try:
            return await self._fold.models(experiment)
        except PostgresUnavailableError:
            # The published models stay in force until it is back.
            return None

    def _is_due(self, serving: Serving) -> bool:
        last, experiment = serving.allocation, serving.experiment
        if last is None or last.revision != experiment.revision:
            return True
        return self._clock() - last.published_at >= update_every(experiment)

    async def _publish(self, serving: Serving) -> None:
        experiment = serving.experiment
        counts = await self._store.beliefs(experiment.id, len(experiment.arms))
        if counts.state.epoch is None:
            return
        if serving.weights_version != counts.state.weights_version and serving.allocation is not None:
            # Limits hold per update: what is computed must follow the weights that are in force.
            await self._directory.refresh(experiment.id)
            return
        models = await self._models(experiment)
        if models is None and experiment.is_contextual:
            return
        now = self._clock()
        record, allocation = await asyncio.to_thread(compute, experiment, counts, serving.allocation, now, models)
        # The store may have come back with an older version: a number that was served before is not used again.
        record = msgspec.structs.replace(record, version=max(record.version, self._versions.get(experiment.id, 0) + 1))
        linear = None if models is None else msgspec.structs.replace(models.record, version=record.version)
        published = await self._store.publish(
            experiment.id,
            token=self._leases.token,
            read_version=counts.state.weights_version,
            record=record,
            explanation=_encode(allocation.explanation.to_dict()),
            linear=b"" if linear is None else encode_linear(linear),
        )
        if not published:
            await self._directory.refresh(experiment.id)
            return
        self._versions[experiment.id] = record.version
        self._directory.install(experiment, record, linear)
        seq = 0 if linear is None else linear.seq
        self._seen[experiment.id] = (counts.state.epoch, counts.state.version, experiment.revision, seq)
        if is_material(record, self._kept.get(experiment.id)):
            self._kept[experiment.id] = record
            self._history.keep(experiment.id, record, allocation)
        beliefs = allocation.beliefs
        means = dict(zip(beliefs.arms, (beliefs.mean * experiment.unit).tolist(), strict=True))
        self._metrics.believed(experiment.id, record, means)

    async def _judge(self, serving: Serving, head: Head) -> None:
        experiment, rule = serving.experiment, serving.experiment.stopping
        if experiment.status != "running" or rule is None or not rule.auto_conclude:
            return
        events = (head.epoch, head.seq, experiment.revision)
        if self._judged.get(experiment.id) == events and rule.max_duration is None:
            return
        counts = await self._store.beliefs(experiment.id, len(experiment.arms))
        if counts.state.epoch is None:
            return
        verdict = await asyncio.to_thread(judge, experiment, counts, self._clock())
        if verdict is not None and verdict.stop:
            log.info("stopping_rule_met", experiment_id=experiment.id, verdict=verdict.sentence())
            await self._conclude(experiment, verdict)
        self._judged[experiment.id] = events

    async def _close_windows(self, serving: Serving) -> None:
        """Let the outcome of every decision whose window has closed enter the beliefs, oldest first."""
        now_ms = round(self._clock() * 1_000)
        lane = self._committer.lane(serving.experiment.id, serving.experiment.reward_window)
        if lane.recovering:
            # A reward that was acknowledged may still have to be sent again: closed now, its decision would get a zero.
            return
        members = await self._store.due(serving.experiment.id, now_ms, _CLOSE_BATCH)
        try:
            waiting = [self._committer.submit(lane, _close(serving, member, now_ms)) for member in members]
        except QueueFullError:
            return
        if waiting:
            await asyncio.wait(waiting)


def _close(serving: Serving, member: str, now_ms: int) -> Close:
    experiment = serving.experiment
    return close_of(member, now_ms, segments=experiment.segments, has_context=experiment.is_contextual)
