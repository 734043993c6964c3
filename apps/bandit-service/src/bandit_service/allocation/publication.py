"""A definition that Postgres has taken comes into force: in memory, in the mirror, and with weights of its own."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from bandit_core.rules.experiment import Experiment
from bandit_service.allocation.leases import Leases
from bandit_service.allocation.loop import Allocator
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError
from bandit_service.mirror.publication import Mirror
from bandit_service.mirror.subscription import Announcer
from bandit_service.serving.experiment_cache import ExperimentCache

_HOLDER_SECONDS: Final = 2.0
log = structlog.get_logger(__name__)


class Publication:
    """Brings definitions into force. An outage is no error here: a sweep of a later second repairs it."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        announcer: Announcer,
        cache: ExperimentCache,
        leases: Leases,
        allocator: Allocator,
    ) -> None:
        self._mirror = mirror
        self._announcer = announcer
        self._cache = cache
        self._leases = leases
        self._allocator = allocator

    async def publish(self, experiment: Experiment) -> None:
        """Take a committed definition into memory, mirror it, tell others of it, and publish weights for it."""
        self._cache.install(experiment, None)
        try:
            await self._mirror.define([experiment])
            # Another process that holds the lease publishes weights when it hears of the definition.
            await self._announcer.announce_changed([experiment.id])
        except (StoreUnavailableError, StoreFullError) as error:
            log.warning("not_mirrored_yet", experiment_id=experiment.id, reason=type(error).__name__)
        try:
            if await self._leases.take(experiment.id) is not None:
                # Also after an outage in the middle of it.
                self._allocator.touched([experiment.id])
                await self._allocator.publish_now(experiment.id)
            elif experiment.status in ("running", "paused"):
                await self._published_by_holder(experiment)
        except PostgresUnavailableError as error:
            log.warning("not_in_force_yet", experiment_id=experiment.id, reason=type(error).__name__)

    async def _published_by_holder(self, experiment: Experiment) -> None:
        """Wait a moment for the weights that the process with the lease publishes for this definition."""
        deadline = asyncio.get_running_loop().time() + _HOLDER_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            served = self._cache.get(experiment.id)
            allocation = None if served is None else served.allocation
            if allocation is not None and allocation.revision >= experiment.revision:
                return
            await asyncio.sleep(_HOLDER_SECONDS / 40)
