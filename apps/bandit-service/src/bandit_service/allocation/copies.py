"""Keeps the mirror like the ledger, for experiments whose lease is held. The mirror may be away, or lose everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from bandit_core.rules.experiment import Experiment
from bandit_service.allocation.watched import Watched
from bandit_service.ledger.weights import WeightsRepository
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError
from bandit_service.mirror.publication import Mirror, Publish
from bandit_service.mirror.subscription import Announcer
from bandit_service.serving.experiment_cache import ExperimentCache

# So many at once do not keep the process from its requests for long.
_AT_ONCE: Final = 50
_CHECK_EVERY: Final = 1.0
_AWAY: Final = (StoreUnavailableError, StoreFullError)
_encode: Final = msgspec.json.Encoder().encode
log = structlog.get_logger(__name__)


class Copies:
    """Writes to the mirror what the lease-holder knows. While the mirror is away, that is put off and done later.

    Args:
        mirror: The copies in Redis.
        announcer: Tells other processes of them.
        cache: Has the definitions and the weights in force.
        weights: Has their explanations.
        clock: The time in seconds.
    """

    def __init__(
        self,
        *,
        mirror: Mirror,
        announcer: Announcer,
        cache: ExperimentCache,
        weights: WeightsRepository,
        clock: Callable[[], float],
    ) -> None:
        self._mirror = mirror
        self._announcer = announcer
        self._cache = cache
        self._weights = weights
        self._clock = clock
        self._is_reached = False
        self._checked_at = float("-inf")
        self._missing: set[str] = set()
        # Definitions that the mirror has.
        self._defined: dict[str, Experiment] = {}

    @property
    def has_work(self) -> bool:
        """Whether something was put off, and may be written by now."""
        return self._is_reached and bool(self._missing)

    def missing(self, experiment_ids: Iterable[str]) -> None:
        """Note that everything of experiments has to be written."""
        self._missing.update(experiment_ids)

    async def totals(self, changed: Sequence[tuple[Watched, Experiment]]) -> None:
        """Copy totals that have changed; of experiments that are missing they are written with everything else."""
        if not self._is_reached:
            self.missing(experiment.id for _, experiment in changed)
            return
        writes = [
            (each.lease.token, experiment, each.totals)
            for each, experiment in changed
            if each.totals is not None and experiment.id not in self._missing
        ]
        try:
            await self._mirror.totals(writes)
        except _AWAY as error:
            self._put_off(error, [experiment.id for _, experiment in changed])

    async def weights(self, published: Sequence[Publish]) -> None:
        """Copy weights that were just published, and their definitions if those are new; tell other processes."""
        names = [each.experiment_id for each in published]
        if not self._is_reached:
            self.missing(names)
            return
        served = [found.experiment for name in names if (found := self._cache.get(name)) is not None]
        new = [each for each in served if self._defined.get(each.id) is not each]
        try:
            await self._mirror.define(new)
            self._defined |= {each.id: each for each in new}
            await self._mirror.publish([(each.record.token, each) for each in published])
            await self._announcer.announce_changed(names)
        except _AWAY as error:
            self._put_off(error, names)
        except BaseException:
            self.missing(names)
            raise

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        self._missing.discard(experiment_id)
        self._defined.pop(experiment_id, None)

    async def again(self, watched: Mapping[str, Watched]) -> None:
        """Write everything of the experiments that are missing, some at a time.

        Raises:
            PostgresUnavailableError: explanations cannot be read; to be tried again.
        """
        try:
            await self._check(watched)
            if self._is_reached and self._missing:
                self._missing.intersection_update(watched)
                names = [name for name in self._missing if watched[name].totals is not None]
                await self._write(watched, names[:_AT_ONCE])
        except _AWAY as error:
            self._put_off(error, ())

    async def _check(self, watched: Iterable[str]) -> None:
        """See each second whether the mirror still is as it was left."""
        now = self._clock()
        if 0 <= now - self._checked_at < _CHECK_EVERY:
            return
        self._checked_at = now
        if not await self._mirror.has_kept_all() or not self._is_reached:
            self.missing(watched)
        self._is_reached = True

    async def _write(self, watched: Mapping[str, Watched], names: Sequence[str]) -> None:
        if not names:
            return
        # Whatever changes while these are written is written by itself.
        self._missing.difference_update(names)
        try:
            explained = await self._weights.explained(names)
            # One that was archived is not brought back into a store that has forgotten it.
            living = {
                name: served
                for name in names
                if (served := self._cache.get(name)) is not None and served.experiment.status != "archived"
            }
            await self._mirror.define([served.experiment for served in living.values()], anew=True)
            await self._mirror.totals(
                [
                    (each.lease.token, served.experiment, each.totals)
                    for name, served in living.items()
                    if (each := watched.get(name)) is not None and each.totals is not None
                ]
            )
            await self._mirror.publish(
                [
                    (
                        watched[name].lease.token,
                        Publish(name, explained[name].record, _encode(explained[name].explanation), served.linear),
                    )
                    for name, served in living.items()
                    if name in explained and name in watched
                ]
            )
            await self._announcer.announce_changed(living)
        except BaseException:
            self.missing(names)
            raise

    def _put_off(self, error: Exception, experiment_ids: Iterable[str]) -> None:
        """Write everything again once the mirror is back: it may come back with less than it had."""
        if self._is_reached:
            log.warning("mirror_away", reason=type(error).__name__)
        self._is_reached = False
        self.missing(experiment_ids)
