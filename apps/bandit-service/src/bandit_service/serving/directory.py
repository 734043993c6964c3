"""The experiments this process serves, kept in memory and kept fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from bandit_service.domain.allocation import AllocationRecord, decode_allocation
from bandit_service.domain.experiment import Experiment
from bandit_service.domain.linear_model import LinearRecord, decode_linear
from bandit_service.redis_store.errors import StoreUnavailableError
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.serving import Serving

_UNKNOWN_FOR = 1.0
_UNKNOWN_LIMIT = 10_000
_decode_definition = msgspec.json.Decoder(Experiment).decode


class Directory:
    """Looks experiments up in memory, then in the store, then in Postgres.

    `definition` and `last_allocation` ask Postgres; they raise PostgresUnavailableError while it is away.
    """

    def __init__(
        self,
        store: RedisStore,
        *,
        definition: Callable[[str], Awaitable[Experiment | None]],
        last_allocation: Callable[[str], Awaitable[AllocationRecord | None]],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._definition = definition
        self._last_allocation = last_allocation
        self._clock = clock
        self._servings: dict[str, Serving] = {}
        self._unknown_until: dict[str, float] = {}
        self._loading: dict[str, asyncio.Task[Serving | None]] = {}

    def get(self, experiment_id: str) -> Serving | None:
        """Return what is in memory."""
        return self._servings.get(experiment_id)

    def all(self) -> list[Serving]:
        return list(self._servings.values())

    async def find(self, experiment_id: str) -> Serving | None:
        """Return the experiment from wherever it is, or None if nobody knows it.

        Raises:
            PostgresUnavailableError: the store does not have it and Postgres cannot be asked.
        """
        serving = self._servings.get(experiment_id)
        if serving is not None:
            return serving
        if self._unknown_until.get(experiment_id, 0.0) > self._clock():
            return None
        return await self.refresh(experiment_id)

    async def refresh(self, experiment_id: str) -> Serving | None:
        """Load an experiment anew; callers that ask at the same time share one load."""
        task = self._loading.get(experiment_id)
        if task is None:
            task = asyncio.create_task(self._load(experiment_id))
            self._loading[experiment_id] = task
            task.add_done_callback(lambda _: self._loading.pop(experiment_id, None))
        return await asyncio.shield(task)

    def install(
        self, experiment: Experiment, allocation: AllocationRecord | None, linear: LinearRecord | None = None
    ) -> Serving:
        """Take a newer definition or other weights into memory."""
        known = self._servings.get(experiment.id)
        if known is not None and known.experiment.revision > experiment.revision:
            experiment = known.experiment
        if allocation is None and known is not None:
            allocation = known.allocation
        if linear is None and known is not None:
            linear = known.linear
        if (
            known is not None
            and known.experiment is experiment
            and known.allocation is allocation
            and known.linear is linear
        ):
            serving = known
        else:
            serving = Serving(experiment, allocation, linear)
        self._servings[experiment.id] = serving
        self._unknown_until.pop(experiment.id, None)
        return serving

    async def _load(self, experiment_id: str) -> Serving | None:
        try:
            definition, allocation, linear = await self._store.served(experiment_id)
        except StoreUnavailableError:
            return await self._load_from_postgres(experiment_id)
        if definition is None:
            return await self._load_from_postgres(experiment_id)
        record = decode_allocation(allocation) if allocation else None
        return self.install(_decode_definition(definition), record, decode_linear(linear) if linear else None)

    async def _load_from_postgres(self, experiment_id: str) -> Serving | None:
        known = self._servings.get(experiment_id)
        experiment = await self._definition(experiment_id)
        if experiment is None:
            if len(self._unknown_until) >= _UNKNOWN_LIMIT:
                self._unknown_until.clear()
            self._unknown_until[experiment_id] = self._clock() + _UNKNOWN_FOR
            return None
        allocation = known.allocation if known else await self._last_allocation(experiment_id)
        return self.install(experiment, allocation)
