"""Forget units: nothing that is kept leads to them afterwards, and the sums stay what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bandit_service.domain.units import hashed_unit
from bandit_service.ledger.units import Swept, UnitsRepository
from bandit_service.spool.kept import KEPT_SECONDS


@dataclass(frozen=True, slots=True)
class Erased:
    """What was found of the units."""

    experiments: int
    events: int
    exposures: int


class Erasure:
    """Forgets the units of a namespace.

    An event that is not in Postgres yet cannot be changed, so a tombstone comes first: a batch that begins later loses
    the unit. What is in Postgres is swept then, and once more when every batch that began earlier has ended.

    A standby that lags may be promoted without the tombstone, and processes then write again what they keep. So an
    erasure ends only when Postgres has stayed on one timeline for as long as processes keep rows.

    Args:
        units: Of the ledger.
        patience: Seconds to wait for transactions that began before the tombstone.
        kept_seconds: How long the timeline has to stay the same after the last sweep.
        pause: Waits for that many seconds.
    """

    def __init__(
        self,
        units: UnitsRepository,
        *,
        patience: float = 600.0,
        kept_seconds: float = KEPT_SECONDS,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._units = units
        self._patience = patience
        self._kept_seconds = kept_seconds
        self._pause = pause

    async def erase(self, namespace: str, unit_ids: Sequence[str]) -> Erased:
        """Take units out of every experiment of a namespace. To do it twice does no harm.

        Raises:
            ValueError: there is no such namespace.
            StillRunningError: an earlier transaction does not end; erase again once it has.
            PostgresUnavailableError: not finished; erase again.
        """
        salt = await self._units.salt(namespace)
        if salt is None:
            raise ValueError(f"there is no namespace {namespace!r}")
        hashes = [hashed_unit(unit_id, salt) for unit_id in unit_ids]
        events = exposures = 0
        timeline, swept_on = await self._units.timeline(), ""
        # A failover may lose the tombstone and what was swept.
        while hashes and swept_on != timeline:
            swept_on = timeline
            for found in await self._sweep_twice(namespace, hashes):
                events, exposures = events + found.events, exposures + found.exposures
            await self._pause(self._kept_seconds)
            timeline = await self._units.timeline()
        return Erased(len(await self._units.experiments(namespace)), events, exposures)

    async def _sweep_twice(self, namespace: str, hashes: Sequence[str]) -> tuple[Swept, Swept]:
        buried = await self._units.bury(hashes)
        first = await self._units.sweep(await self._units.experiments(namespace), hashes)
        await self._units.outlive(buried, patience=self._patience)
        return first, await self._units.sweep(await self._units.experiments(namespace), hashes)
