"""What the holder of a lease does again and again: close windows, compute and publish weights, conclude."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from bandit_core.allocation import Allocation
from bandit_core.stopping import Verdict
from bandit_service.allocator.compute import beliefs_of, compute, is_material, judge, posteriors, update_every
from bandit_service.allocator.leases import Leases
from bandit_service.allocator.record import AllocationRecord, encode_allocation
from bandit_service.decisions.directory import Directory
from bandit_service.decisions.serving import Serving
from bandit_service.events.committer import Committer, QueueFullError
from bandit_service.events.operations import close_of
from bandit_service.experiments.definition import Experiment
from bandit_service.metrics import Metrics
from bandit_service.redis_store.store import BeliefCounts, RedisStore, State

_CLOSE_BATCH = 2_000
_JUDGE_EVERY = 1.0
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
        directory: Directory,
        leases: Leases,
        committer: Committer,
        history: AllocationLog,
        conclude: Callable[[Experiment, Verdict], Awaitable[None]],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._directory = directory
        self._leases = leases
        self._committer = committer
        self._history = history
        self._conclude = conclude
        self._metrics = metrics
        self._clock = clock
        self._seen: dict[str, tuple[int | None, int, int]] = {}
        self._judged_at: dict[str, float] = {}
        self._kept: dict[str, AllocationRecord] = {}

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        for memory in (self._seen, self._judged_at, self._kept):
            memory.pop(experiment_id, None)
        self._metrics.forget(experiment_id)

    async def tick(self) -> None:
        """Look after every experiment of this process once."""
        names = [name for name in self._leases.owned if self._directory.get(name) is not None]
        for name, state in zip(names, await self._store.states(names), strict=True):
            serving = self._directory.get(name)
            if serving is not None and state.epoch is not None:
                await self._look_after(serving, state)

    async def publish_now(self, experiment_id: str) -> None:
        """Publish at once, when the definition has changed."""
        serving = self._directory.get(experiment_id)
        if serving is not None and self._leases.owns(experiment_id) and serving.experiment.status != "archived":
            await self._publish(serving)

    async def _look_after(self, serving: Serving, state: State) -> None:
        experiment = serving.experiment
        if experiment.missing_reward == "zero":
            await self._close_windows(serving)
        if experiment.status not in ("running", "paused"):
            return
        beliefs = (state.epoch, state.version, experiment.revision)
        if self._seen.get(experiment.id) != beliefs and self._is_due(serving):
            await self._publish(serving)
        if experiment.status == "running" and self._clock() - self._judged_at.get(experiment.id, 0.0) >= _JUDGE_EVERY:
            await self._judge(serving)

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
        record, allocation = await asyncio.to_thread(compute, experiment, counts, serving.allocation, self._clock())
        published = await self._store.publish(
            experiment.id,
            token=self._leases.token,
            epoch=record.epoch,
            read_version=counts.state.weights_version,
            record=encode_allocation(record),
            explanation=_encode(allocation.explanation.to_dict()),
        )
        if not published:
            await self._directory.refresh(experiment.id)
            return
        self._directory.install(experiment, record)
        self._seen[experiment.id] = (counts.state.epoch, counts.state.version, experiment.revision)
        if is_material(record, self._kept.get(experiment.id)):
            self._kept[experiment.id] = record
            self._history.keep(experiment.id, record, allocation)
        self._metrics.believed(experiment.id, beliefs_of(posteriors(experiment, counts)), allocation.weights)

    async def _judge(self, serving: Serving) -> None:
        experiment = serving.experiment
        self._judged_at[experiment.id] = self._clock()
        if experiment.stopping is None or not experiment.stopping.auto_conclude:
            return
        counts = await self._store.beliefs(experiment.id, len(experiment.arms))
        if counts.state.epoch is None:
            return
        verdict = await asyncio.to_thread(judge, experiment, counts, self._clock())
        if verdict is not None and verdict.stop:
            log.info("stopping_rule_met", experiment_id=experiment.id, verdict=verdict.sentence())
            await self._conclude(experiment, verdict)

    async def _close_windows(self, serving: Serving) -> None:
        """Let the outcome of every decision whose window has closed enter the beliefs, oldest first."""
        now_ms = round(self._clock() * 1_000)
        lane = self._committer.lane(serving.experiment.id, serving.experiment.reward_window)
        members = await self._store.due(serving.experiment.id, now_ms, _CLOSE_BATCH)
        try:
            waiting = [self._committer.submit(lane, close_of(member, now_ms)) for member in members]
        except QueueFullError:
            return
        if waiting:
            await asyncio.wait(waiting)


async def current_verdict(
    store: RedisStore, experiment: Experiment, clock: Callable[[], float]
) -> tuple[Verdict | None, BeliefCounts]:
    """Return what the stopping rule says of the beliefs as they are now, and those beliefs."""
    counts = await store.beliefs(experiment.id, len(experiment.arms))
    return await asyncio.to_thread(judge, experiment, counts, clock()), counts
