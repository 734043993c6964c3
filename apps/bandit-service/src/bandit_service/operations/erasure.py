"""Forget units: nothing that is kept leads to them afterwards, and the beliefs stay what they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bandit_service.domain.units import hashed_unit
from bandit_service.ledger.units import UnitsRepository
from bandit_service.redis_store.state import Head
from bandit_service.redis_store.store import RedisStore
from bandit_service.redis_store.units import forget_units

_LOOK_EVERY = 0.1


class NotDrainedError(Exception):
    """Events of the units may still be on their way to Postgres, where they cannot be changed."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was found of the units."""

    experiments: int
    events: int
    exposures: int


class Erasure:
    """Forgets the units of a namespace.

    An event on its way cannot be changed, neither in the stream nor in the process that keeps it until Postgres has it.
    So the events that are under way when it begins are waited for.
    """

    def __init__(self, units: UnitsRepository, store: RedisStore, *, patience: float = 30.0) -> None:
        self._units = units
        self._store = store
        self._patience = patience

    async def erase(self, namespace: str, unit_ids: Sequence[str]) -> Erased:
        """Take units out of every experiment of a namespace. To do it twice does no harm.

        Raises:
            ValueError: there is no such namespace.
            NotDrainedError: Postgres lags behind; nothing of the last experiment was changed.
            PostgresUnavailableError, StoreUnavailableError: not finished; do it again.
        """
        salt = await self._units.salt(namespace)
        if salt is None:
            raise ValueError(f"there is no namespace {namespace!r}")
        hashes = [hashed_unit(unit_id, salt) for unit_id in unit_ids]
        names = await self._units.experiments(namespace)
        events = exposures = 0
        for name in names:
            more_events, more_exposures = await self._erase_in(name, hashes)
            events += more_events
            exposures += more_exposures
        return Erased(len(names), events, exposures)

    async def _erase_in(self, experiment_id: str, hashes: Sequence[str]) -> tuple[int, int]:
        events = exposures = 0
        while True:
            head = await self._drained(experiment_id)
            events += await self._units.forget(experiment_id, hashes)
            exposures += await forget_units(self._store, experiment_id, hashes)
            # A refill meanwhile may have read the units before they were gone, and written them after.
            if (await self._store.head(experiment_id)).epoch == head.epoch:
                return events, exposures

    async def _drained(self, experiment_id: str) -> Head:
        """Wait until Postgres has what the store has now."""
        begun = await self._store.head(experiment_id)
        deadline = time.monotonic() + self._patience
        head = begun
        while head.epoch == begun.epoch and head.committed < begun.seq:
            if time.monotonic() > deadline:
                raise NotDrainedError(
                    f"Postgres still lacks the last events of {experiment_id!r}, and some may name the units: erase"
                    " again once bandit_stream_lag_seconds is low"
                )
            await asyncio.sleep(_LOOK_EVERY)
            head = await self._store.head(experiment_id)
        return head
