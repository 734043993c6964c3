"""A definition that Postgres has taken comes into force: mirrored to the store, its weights computed at once."""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from bandit_service.allocation.leases import Leases
from bandit_service.allocation.loop import Allocator
from bandit_service.domain.experiment import Experiment
from bandit_service.events.committer import Committer
from bandit_service.events.reconcile import Reconciler
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.directory import Directory

_SETTLING_SECONDS = 2.0
_encode = msgspec.json.Encoder().encode
log = structlog.get_logger(__name__)


class Publication:
    """Brings definitions into force. An outage is no error here: the sweep of a later second repairs it."""

    def __init__(
        self,
        *,
        store: RedisStore,
        directory: Directory,
        committer: Committer,
        reconciler: Reconciler,
        leases: Leases,
        allocator: Allocator,
    ) -> None:
        self._store = store
        self._directory = directory
        self._committer = committer
        self._reconciler = reconciler
        self._leases = leases
        self._allocator = allocator

    async def publish(self, experiment: Experiment) -> None:
        """Mirror a committed definition and publish weights for it."""
        try:
            await self._define(experiment)
            lane = self._committer.lane(experiment.id, experiment.reward_window)
            if lane.epoch is None:
                self._reconciler.start(lane)
            await asyncio.wait([asyncio.ensure_future(self._reconciler.settled(lane))], timeout=_SETTLING_SECONDS)
            await self._leases.claim([experiment.id])
            await self._allocator.publish_now(experiment.id)
        except (StoreUnavailableError, StoreFullError, PostgresUnavailableError) as error:
            log.warning("not_in_force_yet", experiment_id=experiment.id, reason=type(error).__name__)

    async def _define(self, experiment: Experiment) -> None:
        try:
            await self._store.define(experiment.id, experiment.revision, _encode(experiment), experiment.priors)
        finally:
            # Not earlier: nothing may be reported on a new arm before the store has its prior.
            self._directory.install(experiment, None)
