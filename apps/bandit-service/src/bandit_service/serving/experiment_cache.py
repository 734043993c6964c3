"""The experiments in the memory of a process, kept fresh by messages and by a sweep of Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.linear_record import LinearRecord
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.served import ServedRepository, Stored
from bandit_service.mirror.errors import StoreUnavailableError
from bandit_service.mirror.publication import Mirror, Mirrored

_UNKNOWN_FOR: Final = 1.0
_UNKNOWN_LIMIT: Final = 10_000
# A statement that changes an experiment may be committed so long after the time that it wrote.
_COMMITTED_LATE: Final = 15.0
_PAGE: Final = 200

type LinearSource = Callable[[Experiment], Awaitable[LinearRecord | None]]


async def _no_models(_: Experiment) -> LinearRecord | None:
    return None


class ExperimentCache:
    """Looks experiments up in memory, then in the mirror, then in Postgres.

    Args:
        mirror: The copies in Redis.
        served: Definitions and weights in Postgres.
        linear: Returns the linear models of a contextual experiment from Postgres, where the mirror has none.
        clock: The time in seconds.
    """

    def __init__(
        self,
        mirror: Mirror,
        served: ServedRepository,
        *,
        linear: LinearSource = _no_models,
        clock: Callable[[], float],
    ) -> None:
        self._mirror = mirror
        self._served = served
        self._linear = linear
        self._clock = clock
        self._experiments: dict[str, ServedExperiment] = {}
        self._unknown_until: dict[str, float] = {}
        self._loading: dict[str, asyncio.Task[ServedExperiment | None]] = {}
        self._swept_to: float | None = None
        self._timeline = ""
        self.has_started = False

    def get(self, experiment_id: str) -> ServedExperiment | None:
        """Return what is in memory."""
        return self._experiments.get(experiment_id)

    def all(self) -> list[ServedExperiment]:
        return list(self._experiments.values())

    async def find(self, experiment_id: str) -> ServedExperiment | None:
        """Return the experiment from wherever it is, or None if it is unknown.

        Raises:
            PostgresUnavailableError: the mirror does not have it and Postgres cannot be asked.
        """
        known = self._experiments.get(experiment_id)
        if known is not None:
            return known
        if self._unknown_until.get(experiment_id, 0.0) > self._clock():
            return None
        return await self.refresh(experiment_id)

    async def refresh(self, experiment_id: str) -> ServedExperiment | None:
        """Load an experiment anew; callers that ask at the same time share one load.

        Raises:
            PostgresUnavailableError: the mirror does not have it and Postgres cannot be asked.
        """
        task = self._loading.get(experiment_id)
        if task is None:
            task = asyncio.create_task(self._load(experiment_id))
            self._loading[experiment_id] = task
            task.add_done_callback(lambda _: self._loading.pop(experiment_id, None))
        return await asyncio.shield(task)

    def install(
        self, experiment: Experiment, allocation: AllocationRecord | None, linear: LinearRecord | None = None
    ) -> ServedExperiment:
        """Take a newer definition or newer weights into memory; what is older than what is there is left."""
        known = self._experiments.get(experiment.id)
        if known is not None:
            if known.experiment.revision > experiment.revision or known.experiment == experiment:
                experiment = known.experiment
            if allocation is None or known.weights_version >= allocation.version:
                allocation = known.allocation
            if linear is None or (known.linear is not None and known.linear.version >= linear.version):
                linear = known.linear
        return self._put(experiment, allocation, linear)

    async def load_all(self) -> None:
        """Take every experiment into memory at the start of a process.

        Raises:
            PostgresUnavailableError, StoreUnavailableError: neither Postgres nor the mirror answers.
        """
        try:
            start = await self._served.changes(float("inf"))
            async for page in self._served.pages():
                await self._take(page, {})
            self._swept_to, self._timeline = start.now, start.timeline
        except PostgresUnavailableError:
            await self.changed(await self._mirror.experiment_ids())
        self.has_started = True

    async def changed(self, experiment_ids: Collection[str]) -> None:
        """Load what a message says has changed; what cannot be had now, a sweep finds."""
        doubtful = list(experiment_ids)
        with suppress(StoreUnavailableError):
            found = dict(zip(doubtful, await self._mirror.served(doubtful), strict=True))
            # A mirror that is older than memory has missed something, or Postgres has lost it in a failover.
            doubtful = [name for name, each in found.items() if self._is_newer_than(name, each)]
            for each in found.values():
                self._install_mirrored(each)
        with suppress(PostgresUnavailableError):
            await self.load(doubtful)

    async def load(self, experiment_ids: Sequence[str]) -> dict[str, int]:
        """Load experiments from Postgres: what it has holds, although something newer was in memory before.

        Returns the version of the weights in Postgres by experiment, 0 where it has none.

        Raises:
            PostgresUnavailableError: it is away.
        """
        versions: dict[str, int] = {}
        for first in range(0, len(experiment_ids), _PAGE):
            page = experiment_ids[first : first + _PAGE]
            before = {name: self._experiments.get(name) for name in page}
            stored = await self._served.read(page)
            versions |= {each.experiment.id: each.allocation.version if each.allocation else 0 for each in stored}
            await self._take(stored, before)
        return versions

    async def sweep(self) -> list[str]:
        """Find in Postgres what has changed since the last sweep, and load it; return which experiments that were.

        Raises:
            PostgresUnavailableError: it is away.
        """
        since = 0.0 if self._swept_to is None else self._swept_to - _COMMITTED_LATE
        changes = await self._served.changes(since)
        if self._timeline and changes.timeline != self._timeline:
            # A failover may have lost what is in memory.
            changes = await self._served.changes(0.0)
            self._experiments = {name: each for name, each in self._experiments.items() if name in changes.versions}
            behind = list(self._experiments)
        else:
            behind = [name for name, versions in changes.versions.items() if self._is_behind(name, *versions)]
        await self.load(behind)
        self._swept_to, self._timeline, self.has_started = changes.now, changes.timeline, True
        return behind

    def _is_behind(self, experiment_id: str, revision: int, version: int) -> bool:
        known = self._experiments.get(experiment_id)
        return known is None or known.experiment.revision < revision or known.weights_version < version

    def _is_newer_than(self, experiment_id: str, mirrored: Mirrored) -> bool:
        known = self._experiments.get(experiment_id)
        if mirrored.experiment is None:
            return True
        version = 0 if mirrored.allocation is None else mirrored.allocation.version
        return known is not None and (
            known.experiment.revision > mirrored.experiment.revision or known.weights_version > version
        )

    async def _take(self, page: Sequence[Stored], before: Mapping[str, ServedExperiment | None]) -> None:
        for stored in page:
            experiment, allocation = stored.experiment, stored.allocation
            linear = await self._models(experiment, allocation) if experiment.is_contextual else None
            known = self._experiments.get(experiment.id)
            if known is not None and known is before.get(experiment.id):
                self._put(
                    known.experiment if known.experiment == experiment else experiment,
                    known.allocation if known.allocation == allocation else allocation,
                    linear or known.linear,
                )
            else:
                self.install(experiment, allocation, linear)

    async def _models(self, experiment: Experiment, allocation: AllocationRecord | None) -> LinearRecord | None:
        """Return the published models; those of Postgres if the mirror has none, since they have to be computed."""
        try:
            found = await self._mirror.linear(experiment.id)
        except StoreUnavailableError:
            found = None
        if found is None and allocation is not None:
            found = await self._linear(experiment)
            found = None if found is None else msgspec.structs.replace(found, version=allocation.version)
        return found

    async def _load(self, experiment_id: str) -> ServedExperiment | None:
        try:
            [mirrored] = await self._mirror.served([experiment_id])
        except StoreUnavailableError:
            mirrored = Mirrored(None, None, None)
        found = self._install_mirrored(mirrored)
        if found is not None:
            return found
        await self.load([experiment_id])
        found = self._experiments.get(experiment_id)
        if found is None:
            if len(self._unknown_until) >= _UNKNOWN_LIMIT:
                self._unknown_until.clear()
            self._unknown_until[experiment_id] = self._clock() + _UNKNOWN_FOR
        return found

    def _install_mirrored(self, mirrored: Mirrored) -> ServedExperiment | None:
        if mirrored.experiment is None:
            return None
        return self.install(mirrored.experiment, mirrored.allocation, mirrored.linear)

    def _put(
        self, experiment: Experiment, allocation: AllocationRecord | None, linear: LinearRecord | None
    ) -> ServedExperiment:
        known = self._experiments.get(experiment.id)
        self._unknown_until.pop(experiment.id, None)
        if (
            known is not None
            and known.experiment is experiment
            and known.allocation is allocation
            and known.linear is linear
        ):
            return known
        made = ServedExperiment(experiment, allocation, linear)
        self._experiments[experiment.id] = made
        return made
