"""What the holder of a lease does again and again: settle, read totals, compute and publish weights, conclude."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from bandit_core.allocation import Allocation
from bandit_core.policies.base import ArmBeliefs
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_core.stopping import Verdict
from bandit_service.allocation.compute import beliefs_of, compute, judge, posteriors
from bandit_service.allocation.copies import Copies
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_models import LinearModels, Models
from bandit_service.allocation.merged_totals import MergedTotals
from bandit_service.allocation.settler import Settler
from bandit_service.allocation.watched import Watched, distance, events_in, follow_at, is_worth_publishing, known
from bandit_service.domain.totals import Totals
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.leases import FencedError, Lease, LeasesRepository
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.metrics import Metrics
from bandit_service.mirror.publication import Publish
from bandit_service.serving.experiment_cache import ExperimentCache

# Totals of an experiment are read at most so often, however many events there are.
_READ_EVERY: Final = 0.25
_REST_SECONDS: Final = 1.0
# So many at once do not keep the process from its requests for long.
_READ_AT_ONCE: Final = 200
_COMPUTED_AT_ONCE: Final = 20
_PUBLISHING_SECONDS: Final = 0.0025
_TURNS_AT_ONCE: Final = 20
_encode: Final = msgspec.json.Encoder().encode
log = structlog.get_logger(__name__)


class Allocator:
    """Looks after the experiments whose lease this process holds.

    Its methods raise PostgresUnavailableError while Postgres is away, to be called again. A fault of one experiment is
    logged, and the others are looked after.

    Args:
        leases: The leases of this process.
        repository: Says which experiments have decisions to settle.
        settler: Settles and closes.
        linear: The linear models of contextual experiments.
        totals: What the events add up to.
        weights: The weights in force.
        copies: The mirror.
        cache: The definitions and weights in memory.
        conclude: Called with an experiment whose stopping rule is met.
        metrics: Shows what is believed.
        may_settle: False after a failover, until every process has written again what that may have lost.
        clock: The time in seconds.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        repository: LeasesRepository,
        settler: Settler,
        linear: LinearModels,
        totals: MergedTotals,
        weights: WeightsRepository,
        copies: Copies,
        cache: ExperimentCache,
        conclude: Callable[[Experiment, Verdict], Awaitable[None]],
        metrics: Metrics,
        may_settle: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._may_settle = may_settle
        self._leases = leases
        self._repository = repository
        self._settler = settler
        self._linear = linear
        self._totals = totals
        self._weights = weights
        self._copies = copies
        self._cache = cache
        self._conclude = conclude
        self._metrics = metrics
        self._clock = clock
        self._watched: dict[str, Watched] = {}
        self._held: Mapping[str, Lease] = {}
        self._touched: set[str] = set()
        self._closing: set[str] = set()
        self._moved: set[str] = set()

    def touched(self, experiment_ids: Iterable[str]) -> None:
        """Note that events of experiments were committed, or that their definition has changed."""
        self._touched.update(name for name in experiment_ids if name in self._watched)

    @property
    def has_work(self) -> bool:
        """Whether `tick` has something to do, now or as soon as it may."""
        return bool(self._touched or self._moved or self._copies.has_work or self._leases.held is not self._held)

    async def claim(self) -> None:
        """Take leases that nobody holds, and leave what others have taken; to be called each second."""
        await self._leases.keep()
        await self._take_over()

    async def tick(self) -> None:
        """Do what is due; to be called each 50 ms."""
        await self._take_over()
        await self._read()
        await self._publish_due()
        await self._copies.again(self._watched)

    async def check_all(self) -> None:
        """Find events that nobody told of; to be called each 5 s."""
        counted = await self._totals.changed(list(self._watched))
        for name, found in counted.items():
            each = self._watched.get(name)
            if each is not None and each.counted != found:
                self._touched.add(name)
                each.counted = found
        self.touched(await self._repository.unsettled(list(self._watched)))
        await self._find_due(lambda _: True)
        for name in self._watched:
            served = self._cache.get(name)
            if served is None or served.experiment.status == "archived":
                self._metrics.forget(name)

    async def merge(self) -> None:
        """Keep reading of totals cheap; to be called every few seconds."""
        self.touched(await self._totals.merge())

    async def judge(self) -> None:
        """Conclude experiments whose stopping rule is met, and find windows that end; to be called each second."""
        await self._find_due(lambda experiment: experiment.missing_reward == "zero")
        now = self._clock()
        for name in [name for name, each in self._watched.items() if self._may_conclude(name, each, now)]:
            await self._guarded(name, self._judge)

    async def publish_now(self, experiment_id: str) -> None:
        """Publish weights at once, for a definition that has changed."""
        await self._take_over()
        try:
            await self._guarded(experiment_id, self._publish_definition)
        finally:
            await self._copies.publish()

    async def _take_over(self) -> None:
        """Watch what is held, beginning with what Postgres knows of it."""
        held = self._leases.held
        if held is self._held:
            return
        for name in [name for name, each in self._watched.items() if held.get(name) != each.lease]:
            self._leave(name)
        gained = [name for name in held if name not in self._watched]
        # The former holder may have published what this process has not heard of.
        await self._cache.load(gained)
        for name in gained:
            self._watched.setdefault(name, Watched(held[name]))
        self._touched.update(gained)
        self._copies.missing(gained)
        self._held = held

    def _leave(self, experiment_id: str) -> None:
        self._watched.pop(experiment_id, None)
        for names in (self._touched, self._closing, self._moved):
            names.discard(experiment_id)
        self._settler.forget(experiment_id)
        self._totals.forget(experiment_id)
        self._linear.forget(experiment_id)
        self._metrics.forget(experiment_id)

    async def _guarded(self, experiment_id: str, step: Callable[[Watched, Experiment], Awaitable[None]]) -> None:
        """Take a step for one experiment; one that fails rests for a second and keeps nobody else waiting."""
        each, served = self._watched.get(experiment_id), self._cache.get(experiment_id)
        if each is None or served is None or each.resting_until > self._clock():
            return
        try:
            await step(each, served.experiment)
        except FencedError:
            log.info("lease_lost", experiment_id=experiment_id)
            self._leases.drop(experiment_id)
            self._leave(experiment_id)
        except PostgresUnavailableError:
            raise
        except Exception:
            log.exception("experiment_not_looked_after", experiment_id=experiment_id)
            each.resting_until = self._clock() + _REST_SECONDS

    async def _find_due(self, wanted: Callable[[Experiment], bool]) -> None:
        """Touch experiments with decisions whose reward window has ended."""
        served = [found for name in self._watched if (found := self._cache.get(name)) is not None]
        windows = {each.experiment.id: each.experiment.reward_window for each in served if wanted(each.experiment)}
        if windows:
            due = await self._repository.due(windows)
            self._closing.update(due & self._watched.keys())
            self.touched(due)

    async def _settle(self, each: Watched, experiment: Experiment) -> None:
        """Write outcomes that are complete, and fill what is missing at the end of windows."""
        for _ in range(_TURNS_AT_ONCE):
            try:
                settled = await self._settler.turn(each.lease, experiment)
            except PostgresUnavailableError:
                # It may have been committed all the same.
                self._linear.forget(experiment.id)
                raise
            if experiment.is_contextual:
                self._linear.take(settled)
            if not settled.has_more:
                break
        else:
            self.touched([experiment.id])
        if experiment.is_contextual:
            await self._linear.keep(each.lease, experiment)

    async def _read(self) -> None:
        """Settle the experiments that were touched, and read their totals in one statement."""
        now = self._clock()
        due = [name for name in self._touched if self._may_be_read(name, now)][:_READ_AT_ONCE]
        if not due:
            return
        self._touched.difference_update(due)
        closing = self._closing.intersection(due)
        self._closing -= closing
        try:
            if self._may_settle():
                for name in closing | await self._repository.unsettled(due):
                    await self._guarded(name, self._settle)
            else:
                self._closing |= closing & self._watched.keys()
            await self._take(await self._totals.read(due), now)
        except BaseException:
            self.touched(due)
            self._closing |= closing & self._watched.keys()
            raise

    def _may_be_read(self, experiment_id: str, now: float) -> bool:
        each = self._watched[experiment_id]
        return each.resting_until <= now and not 0 <= now - each.read_at < _READ_EVERY

    async def _take(self, found: dict[str, Totals], now: float) -> None:
        changed = []
        for name, totals in found.items():
            each, served = self._watched.get(name), self._cache.get(name)
            if each is None or served is None:
                continue
            each.read_at = now
            self._moved.add(name)
            if each.totals is None or replace(each.totals, as_of=totals.as_of) != totals:
                each.totals, each.events = totals, events_in(totals)
                changed.append((each, served.experiment))
        if changed:
            await self._copies.totals(changed)

    async def _publish_due(self) -> None:
        now = self._clock()
        self._moved = {name for name in self._moved if self._is_expected(name)}
        due = [name for name in self._moved if self._has_moved(name) and self._may_be_computed(name, now)]
        # Whoever has waited longest comes first. Where many move at once, each has new weights less often.
        due.sort(key=lambda name: self._watched[name].tried_at)
        try:
            for name in due[:_COMPUTED_AT_ONCE]:
                await self._guarded(name, self._publish)
                if not 0 <= self._clock() - now < _PUBLISHING_SECONDS:
                    break
        finally:
            await self._copies.publish()

    def _has_moved(self, experiment_id: str) -> bool:
        each, served = self._watched.get(experiment_id), self._cache.get(experiment_id)
        if each is None or served is None or each.totals is None or not _has_weights(served.experiment):
            return False
        return each.computed_from != known(served.experiment, each.totals) or each.follow_at <= self._clock()

    def _is_expected(self, experiment_id: str) -> bool:
        """Whether weights are to be computed, now or when beliefs have to follow."""
        each = self._watched.get(experiment_id)
        return each is not None and (each.follow_at < float("inf") or self._has_moved(experiment_id))

    def _may_be_computed(self, experiment_id: str, now: float) -> bool:
        each, served = self._watched[experiment_id], self._cache.get(experiment_id)
        if served is None or each.resting_until > now:
            return False
        is_first = each.computed_at == float("-inf")
        return is_first or not _is_early(served, max(each.computed_at, served.published_at), now)

    async def _publish_definition(self, each: Watched, experiment: Experiment) -> None:
        if _has_weights(experiment):
            if each.totals is None:
                await self._take(await self._totals.read([experiment.id]), self._clock())
            await self._publish(each, experiment)

    async def _publish(self, each: Watched, experiment: Experiment) -> None:
        """Compute weights, and put them into force if they are worth it."""
        async with each.publishing:
            if each.is_uncertain:
                await self._cache.load([experiment.id])
                each.is_uncertain = False
            served, totals = self._cache.get(experiment.id), each.totals
            if served is None or totals is None:
                return
            each.tried_at = self._clock()
            experiment, last = served.experiment, served.allocation
            if each.computed_from is None and last is not None and _is_up_to_date(experiment, totals, last):
                each.computed_from, each.computed_at = known(experiment, totals), self._clock()
                self._show(experiment, last, beliefs_of(experiment, posteriors(experiment, totals)))
                return
            models = await self._linear.models(each.lease, experiment) if experiment.is_contextual else None
            if models is None and experiment.is_contextual:
                # The published models stay in force until Postgres is back.
                return
            now = self._clock()
            record, allocation = await asyncio.to_thread(compute, experiment, totals, last, now, models)
            each.computed_at = now
            is_wanted = is_worth_publishing(experiment, record, last, now)
            is_behind = last is not None and record.beliefs != last.beliefs
            if is_wanted and not _is_early(served, served.published_at, now):
                record, is_wanted = await self._put_into_force(each, experiment, record, allocation, models), False
                is_behind = False
            elif last is not None:
                record = msgspec.structs.replace(record, weights=last.weights)
            if not is_wanted:
                each.computed_from = known(experiment, totals)
                each.follow_at = follow_at(experiment, last, now) if last is not None and is_behind else float("inf")
        if self._watched.get(experiment.id) is each:
            self._show(experiment, record, allocation.beliefs)

    def _show(self, experiment: Experiment, record: AllocationRecord, beliefs: ArmBeliefs) -> None:
        means = dict(zip(beliefs.arms, (beliefs.mean * experiment.unit).tolist(), strict=True))
        self._metrics.believed(experiment.id, record, means)

    async def _put_into_force(
        self,
        each: Watched,
        experiment: Experiment,
        record: AllocationRecord,
        allocation: Allocation,
        models: Models | None,
    ) -> AllocationRecord:
        each.is_uncertain = True
        record = await self._weights.publish(each.lease, record, allocation.explanation)
        each.is_uncertain = False
        linear = None if models is None else msgspec.structs.replace(models.record, version=record.version)
        self._cache.install(experiment, record, linear)
        explanation = _encode(allocation.explanation.to_dict())
        self._copies.weights(each, experiment, Publish(experiment.id, record, explanation, linear))
        return record

    def _may_conclude(self, experiment_id: str, each: Watched, now: float) -> bool:
        served = self._cache.get(experiment_id)
        if served is None or each.totals is None or served.experiment.status != "running":
            return False
        rule = served.experiment.stopping
        return rule is not None and rule.auto_conclude and each.judged_from != _looked_at(served.experiment, each, now)

    async def _judge(self, each: Watched, experiment: Experiment) -> None:
        now = self._clock()
        looked_at = _looked_at(experiment, each, now)
        if each.totals is None:
            return
        verdict = await asyncio.to_thread(judge, experiment, each.totals, now)
        if verdict is not None and verdict.stop:
            log.info("stopping_rule_met", experiment_id=experiment.id, verdict=verdict.sentence())
            await self._conclude(experiment, verdict)
        each.judged_from = looked_at


def _looked_at(experiment: Experiment, each: Watched, now: float) -> tuple[int, int, bool]:
    """Return what a stopping rule depends on."""
    longest = None if experiment.stopping is None else experiment.stopping.max_duration
    return experiment.revision, each.events, longest is not None and now - experiment.created_at >= longest


def _has_weights(experiment: Experiment) -> bool:
    return experiment.status in ("running", "paused") or experiment.goes_on


def _is_up_to_date(experiment: Experiment, totals: Totals, last: AllocationRecord) -> bool:
    """Say whether weights that another process published were computed from these totals."""
    if last.revision != experiment.revision:
        return False
    active = [each for each in posteriors(experiment, totals) if each.arm.status == "active"]
    return last.beliefs == {each.arm.id: each.parameters(experiment) for each in active}


def _is_early(served: ServedExperiment, since: float, now: float) -> bool:
    """Say whether weights of the same definition were computed, or published, too short a while ago."""
    last, experiment = served.allocation, served.experiment
    if last is None or last.revision != experiment.revision:
        return False
    return now - since < distance(experiment, now)
