"""Weights of the experiments whose lease is held: computed together, and put into force by one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec

from bandit_core.allocation import Allocation
from bandit_core.policies.base import ArmBeliefs
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.allocation.assessment import assess
from bandit_service.allocation.compute import beliefs_of, compute, posteriors
from bandit_service.allocation.copies import Copies
from bandit_service.allocation.linear_models import LinearModels, Models
from bandit_service.allocation.watched import Watched, follow_at, is_early, is_worth_publishing, known
from bandit_service.domain.assessment import Assessment
from bandit_service.domain.totals import Totals
from bandit_service.ledger.weights import NewWeights, WeightsRepository
from bandit_service.metrics import Metrics
from bandit_service.mirror.publication import Publish
from bandit_service.serving.experiment_cache import ExperimentCache


class _Task(NamedTuple):
    """What weights are computed from."""

    each: Watched
    served: ServedExperiment
    totals: Totals
    last: AllocationRecord | None
    models: Models | None


class _Computed(NamedTuple):
    """Weights that were computed, and why they are what they are."""

    task: _Task
    record: AllocationRecord
    allocation: Allocation
    assessment: Assessment


class Publisher:
    """Publishes weights. The arguments are those of the allocator; `watched` is what it looks after at any time."""

    def __init__(
        self,
        watched: Mapping[str, Watched],
        *,
        linear: LinearModels,
        weights: WeightsRepository,
        copies: Copies,
        cache: ExperimentCache,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._watched = watched
        self._linear = linear
        self._weights = weights
        self._copies = copies
        self._cache = cache
        self._metrics = metrics
        self._clock = clock

    async def publish(self, wanted: Sequence[Watched]) -> list[str]:
        """Compute weights, and put those into force that are worth it; return the experiments whose lease has gone.

        Raises:
            PostgresUnavailableError: what was put into force is unknown.
            FencedError: the lease of a contextual experiment has gone.
        """
        async with AsyncExitStack() as publishing:
            for each in wanted:
                await publishing.enter_async_context(each.publishing)
            computed = await self._computed(await self._tasks(wanted))
            now = self._clock()
            published = await self._put_into_force([each for each in computed if self._is_wanted(each, now)])
        copied = [each for each in published.values() if each is not None]
        if copied:
            await self._copies.weights(copied)
        return [name for name, each in published.items() if each is None]

    async def _tasks(self, wanted: Sequence[Watched]) -> list[_Task]:
        """Return what is to be computed: nothing, where another process has published it."""
        uncertain = [each for each in wanted if each.is_uncertain]
        names = [each.lease.experiment_id for each in uncertain]
        versions = await self._cache.load(names)
        # The mirror does not have what was committed without an answer.
        self._copies.missing(names)
        for each in uncertain:
            each.is_uncertain = False
            each.stored_version = versions.get(each.lease.experiment_id, 0)
        tasks = []
        for each in wanted:
            served, totals = self._cache.get(each.lease.experiment_id), each.totals
            if served is None or totals is None:
                continue
            each.tried_at = self._clock()
            experiment, last = served.experiment, served.allocation
            if last is not None and last.version != each.stored_version:
                # Postgres has lost these weights in a failover, and the mirror has not.
                last = None
            if each.computed_from is None and last is not None and _is_up_to_date(experiment, totals, last):
                each.computed_from, each.computed_at = known(experiment, totals), self._clock()
                self._show(each, experiment, last, beliefs_of(experiment, posteriors(experiment, totals)))
                continue
            models = await self._linear.models(each.lease, experiment) if experiment.is_contextual else None
            # Without models the published ones stay in force until Postgres is back.
            if models is not None or not experiment.is_contextual:
                tasks.append(_Task(each, served, totals, last, models))
        return tasks

    async def _computed(self, tasks: Sequence[_Task]) -> list[_Computed]:
        if not tasks:
            return []
        now = self._clock()
        computed = await asyncio.to_thread(lambda: [_compute(task, now) for task in tasks])
        for task in tasks:
            task.each.computed_at = now
        return computed

    def _is_wanted(self, computed: _Computed, now: float) -> bool:
        """Whether weights are to be put into force now; what is in force instead is shown, and noted."""
        task, record = computed.task, computed.record
        experiment, last = task.served.experiment, task.last
        is_worth_it = is_worth_publishing(experiment, record, last, now)
        if is_worth_it and not is_early(task.served, task.served.published_at, now):
            return True
        if not is_worth_it:
            is_behind = last is not None and record.beliefs != last.beliefs
            task.each.computed_from = known(experiment, task.totals)
            task.each.follow_at = follow_at(experiment, last, now) if last is not None and is_behind else float("inf")
        if last is not None:
            record = msgspec.structs.replace(record, weights=last.weights)
        self._show(task.each, experiment, record, computed.allocation.beliefs)
        return False

    async def _put_into_force(self, wanted: Sequence[_Computed]) -> dict[str, Publish | None]:
        """Return what was published by experiment; nothing for one whose lease has gone."""
        new = [
            NewWeights.of(
                task.each.lease,
                record,
                allocation.explanation,
                assessment,
                holdout=task.served.experiment.holdout,
            )
            for task, record, allocation, assessment in wanted
        ]
        for task, *_ in wanted:
            task.each.is_uncertain = True
        records = await self._weights.publish(new)
        published: dict[str, Publish | None] = {}
        for (task, _, allocation, _), given in zip(wanted, new, strict=True):
            experiment, each = task.served.experiment, task.each
            each.is_uncertain = False
            record = records.get(experiment.id)
            if record is None:
                published[experiment.id] = None
                continue
            models = task.models
            linear = None if models is None else msgspec.structs.replace(models.record, version=record.version)
            self._cache.install(experiment, record, linear)
            published[experiment.id] = Publish(experiment.id, record, given.explanation, linear)
            each.stored_version = record.version
            each.computed_from, each.follow_at = known(experiment, task.totals), float("inf")
            self._show(each, experiment, record, allocation.beliefs)
        return published

    def _show(self, each: Watched, experiment: Experiment, record: AllocationRecord, beliefs: ArmBeliefs) -> None:
        if self._watched.get(experiment.id) is each:
            means = dict(zip(beliefs.arms, beliefs.mean.tolist(), strict=True))
            self._metrics.beliefs(experiment.id, record, means)


def _compute(task: _Task, now: float) -> _Computed:
    experiment, last = task.served.experiment, task.last
    record, allocation = compute(experiment, task.totals, last, now, task.models)
    assessment = assess(experiment, task.totals, record.weights, now, allocation.beliefs)
    return _Computed(task, record, allocation, assessment)


def _is_up_to_date(experiment: Experiment, totals: Totals, last: AllocationRecord) -> bool:
    """Say whether weights that another process published were computed from these totals."""
    if last.revision != experiment.revision:
        return False
    active = [each for each in posteriors(experiment, totals) if each.arm.status == "active"]
    return last.beliefs == {each.arm.id: each.parameters(experiment) for each in active}
