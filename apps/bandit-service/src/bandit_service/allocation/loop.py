"""What the holder of a lease does again and again: settle, read totals, compute and publish weights, conclude."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import batched
from typing import Final

import structlog

from bandit_core.rules.experiment import Experiment
from bandit_core.stopping import Verdict
from bandit_service.allocation.compute import judge
from bandit_service.allocation.copies import Copies
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.linear_models import LinearModels
from bandit_service.allocation.merged_totals import MergedTotals
from bandit_service.allocation.publishing import Publisher
from bandit_service.allocation.settler import Settler
from bandit_service.allocation.watched import Watched, events_in, is_early, known
from bandit_service.domain.totals import Totals
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.leases import FencedError, Lease, LeasesRepository
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.metrics import Metrics
from bandit_service.serving.experiment_cache import ExperimentCache

# Totals are read at most so often, those of all experiments together, however many events there are. The mirror has a
# reward within a second.
_READ_EVERY: Final = 0.5
_REST_SECONDS: Final = 1.0
# So many at once do not keep the process from its requests for long.
_READ_AT_ONCE: Final = 200
_COMPUTED_AT_ONCE: Final = 20
# After weights were published the process does something else, for so many times as long, but for a second at most.
_PAUSE: Final = 25
_LONGEST_PAUSE: Final = 1.0
_TURNS_AT_ONCE: Final = 20
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
        self._copies = copies
        self._cache = cache
        self._conclude = conclude
        self._metrics = metrics
        self._clock = clock
        self._watched: dict[str, Watched] = {}
        self._publisher = Publisher(
            self._watched,
            linear=linear,
            weights=weights,
            copies=copies,
            cache=cache,
            metrics=metrics,
            clock=clock,
        )
        self._read_at = self._publish_at = float("-inf")
        self._held: Mapping[str, Lease] = {}
        self._touched: set[str] = set()
        self._closing: set[str] = set()
        self._moved: set[str] = set()
        # Those whose windows close by themselves, and those whose stopping rule concludes them.
        self._closable: set[str] = set()
        self._ruled: set[str] = set()

    def touched(self, experiment_ids: Iterable[str]) -> None:
        """Note that events of experiments were committed, or that their definition has changed."""
        self._touched.update(name for name in experiment_ids if name in self._watched)

    def outdated(self, experiment_ids: Iterable[str]) -> None:
        """Note that Postgres had a definition or weights of experiments that this process did not know.

        What it has given the mirror may be older: it may have read that from a former primary.
        """
        known = [name for name in experiment_ids if name in self._watched]
        self._touched.update(known)
        self._copies.missing(known)

    @property
    def has_work(self) -> bool:
        """Whether `tick` has something to do, now or as soon as it may."""
        return bool(self._touched or self._moved or self._copies.has_work or self._leases.held is not self._held)

    async def claim(self) -> None:
        """Take leases without a holder, and leave what others have taken; to be called each second."""
        await self._leases.keep()
        await self._take_over()

    async def tick(self) -> None:
        """Do what is due; to be called each 50 ms."""
        await self._take_over()
        await self._read()
        await self._publish_due()
        await self._copies.again(self._watched)

    async def check_all(self) -> None:
        """Find events that no message told of; to be called each 5 s."""
        counted = await self._totals.changed(list(self._watched))
        for name, found in counted.items():
            each = self._watched.get(name)
            if each is not None and each.counted != found:
                self._touched.add(name)
                each.counted = found
        self.touched(await self._repository.unsettled(list(self._watched)))
        await self._find_due(self._watched)
        for name in self._watched:
            served = self._cache.get(name)
            if served is None or served.experiment.status == "archived":
                self._metrics.forget(name)

    async def merge(self) -> None:
        """Keep reading of totals cheap; to be called every few seconds."""
        self.touched(await self._totals.merge())
        for name in await self._totals.fold({name: each.lease for name, each in self._watched.items()}):
            self._lose(name)

    async def judge(self) -> None:
        """Conclude experiments whose stopping rule is met, and find windows that end; to be called each second."""
        await self._find_due(self._closable)
        now = self._clock()
        for name in [name for name in self._ruled if self._may_conclude(name, self._watched[name], now)]:
            await self._guarded(name, self._judge)

    async def publish_now(self, experiment_id: str) -> None:
        """Publish weights at once, for a definition that has changed."""
        await self._take_over()
        await self._guarded(experiment_id, self._publish_definition)

    async def _take_over(self) -> None:
        """Watch what is held, beginning with what Postgres knows of it."""
        held = self._leases.held
        if held is self._held:
            return
        for name in [name for name, each in self._watched.items() if held.get(name) != each.lease]:
            self._leave(name)
        gained = [name for name in held if name not in self._watched]
        # The former holder may have published what this process has not heard of.
        versions = await self._cache.load(gained)
        for name in gained:
            self._watched.setdefault(name, Watched(held[name], stored_version=versions.get(name, 0)))
        self._touched.update(gained)
        self._copies.missing(gained)
        self._held = held

    def _leave(self, experiment_id: str) -> None:
        self._watched.pop(experiment_id, None)
        for names in (self._touched, self._closing, self._moved, self._closable, self._ruled):
            names.discard(experiment_id)
        self._settler.forget(experiment_id)
        self._totals.forget(experiment_id)
        self._linear.forget(experiment_id)
        self._copies.forget(experiment_id)
        self._metrics.forget(experiment_id)

    async def _guarded(self, experiment_id: str, step: Callable[[Watched, Experiment], Awaitable[None]]) -> None:
        """Take a step for one experiment; one that fails rests for a second, and the others go on."""
        each, served = self._watched.get(experiment_id), self._cache.get(experiment_id)
        if each is None or served is None or each.resting_until > self._clock():
            return
        try:
            await step(each, served.experiment)
        except FencedError:
            self._lose(experiment_id)
        except PostgresUnavailableError:
            raise
        except Exception:
            log.exception("experiment_not_looked_after", experiment_id=experiment_id)
            each.resting_until = self._clock() + _REST_SECONDS

    def _lose(self, experiment_id: str) -> None:
        log.info("lease_lost", experiment_id=experiment_id)
        self._leases.drop(experiment_id)
        self._leave(experiment_id)

    async def _find_due(self, experiment_ids: Iterable[str]) -> None:
        """Touch those of these experiments that have decisions whose reward window has ended."""
        served = [found.experiment for name in experiment_ids if (found := self._cache.get(name)) is not None]
        windows = {experiment.id: experiment.reward_window for experiment in served}
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
        """Settle the experiments that were touched, and read their totals, many in one statement."""
        now = self._clock()
        if 0 <= now - self._read_at < _READ_EVERY:
            return
        due = [name for name in self._touched if self._watched[name].resting_until <= now]
        if due:
            self._read_at = now
        for names in batched(due, _READ_AT_ONCE):
            await self._read_some(self._watched.keys() & names)

    async def _read_some(self, names: set[str]) -> None:
        self._touched -= names
        closing = self._closing & names
        self._closing -= closing
        try:
            found = await self._totals.read(list(names))
            if not self._may_settle():
                self._closing |= closing & self._watched.keys()
            elif settling := (closing | found.unsettled) & self._watched.keys():
                for name in settling:
                    await self._guarded(name, self._settle)
                found.totals.update((await self._totals.read(list(settling))).totals)
            await self._take(found.totals)
        except BaseException:
            self.touched(names)
            self._closing |= closing & self._watched.keys()
            raise

    async def _take(self, found: Mapping[str, Totals]) -> None:
        changed = []
        for name, totals in found.items():
            each, served = self._watched.get(name), self._cache.get(name)
            if each is None or served is None:
                continue
            self._moved.add(name)
            rule = served.experiment.stopping
            _put(self._closable, name, belongs=served.experiment.missing_reward == "zero")
            _put(self._ruled, name, belongs=rule is not None and rule.auto_conclude)
            known = each.totals
            if known is None or replace(known, as_of=totals.as_of) != totals:
                # The ledger's clock may have been set back, and the mirror refuses what seems older.
                newer = totals if known is None else replace(totals, as_of=max(known.as_of, totals.as_of))
                each.totals, each.events = newer, events_in(newer)
                changed.append((each, served.experiment))
        if changed:
            await self._copies.totals(changed)

    async def _publish_due(self) -> None:
        now = self._clock()
        if 0 < self._publish_at - now <= _LONGEST_PAUSE:
            return
        self._moved = {name for name in self._moved if self._is_expected(name)}
        due = [name for name in self._moved if self._has_moved(name) and self._may_be_computed(name, now)]
        # The one that has waited longest comes first. Where many move at once, each has new weights less often.
        due.sort(key=lambda name: self._watched[name].tried_at)
        if due:
            try:
                await self._publish(due[:_COMPUTED_AT_ONCE])
            finally:
                ended = self._clock()
                self._publish_at = ended + min(_PAUSE * max(0.0, ended - now), _LONGEST_PAUSE)

    async def _publish(self, names: Sequence[str]) -> None:
        """Publish weights of experiments together; each by itself if that fails, so that one does not fail others."""
        if len(names) > 1:
            try:
                lost = await self._publisher.publish([self._watched[name] for name in names])
            except PostgresUnavailableError:
                raise
            except FencedError as error:
                log.debug("not_published_together", reason=str(error))
            except Exception:
                log.exception("not_published_together")
            else:
                for name in lost:
                    self._lose(name)
                return
        for name in names:
            await self._guarded(name, self._publish_one)

    async def _publish_one(self, each: Watched, _: Experiment) -> None:
        if await self._publisher.publish([each]):
            raise FencedError(each.lease.experiment_id)

    def _has_moved(self, experiment_id: str) -> bool:
        each, served = self._watched.get(experiment_id), self._cache.get(experiment_id)
        if each is None or served is None or each.totals is None or not served.experiment.has_weights:
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
        return is_first or not is_early(served, max(each.computed_at, served.published_at), now)

    async def _publish_definition(self, each: Watched, experiment: Experiment) -> None:
        if experiment.has_weights:
            if each.totals is None:
                await self._take((await self._totals.read([experiment.id])).totals)
            await self._publish_one(each, experiment)

    def _may_conclude(self, experiment_id: str, each: Watched, now: float) -> bool:
        served = self._cache.get(experiment_id)
        if served is None or each.totals is None or not served.experiment.concludes_by_rule:
            return False
        return each.judged_from != _looked_at(served.experiment, each, now)

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


def _put(names: set[str], name: str, *, belongs: bool) -> None:
    (names.add if belongs else names.discard)(name)
