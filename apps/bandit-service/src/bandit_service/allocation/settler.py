"""A turn of the lease-holder: outcomes that have become complete, then reward windows that have ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bandit_core.rules.experiment import Experiment
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.settling import Settled, Settling


class Settler:
    """Settles and closes an experiment's decisions, a bounded number a turn."""

    def __init__(self, settling: Settling, *, clock: Callable[[], float]) -> None:
        self._settling = settling
        self._clock = clock

    async def turn(self, lease: Lease, experiment: Experiment) -> Settled:
        """Settle, then close; `has_more` says that another turn has something to do at once.

        Raises:
            PostgresUnavailableError: Postgres is away; whether something was written is unknown.
            FencedError: the lease has gone to another process, or Postgres has failed over.
        """
        settled = await self._settling.settle(lease, experiment)
        if experiment.missing_reward != "zero":
            return settled
        try:
            closed = await self._settling.close(lease, experiment, round(self._clock() * 1_000))
        except PostgresUnavailableError:
            if not settled.turn:
                raise
            # What was settled is written, and its caller has to know.
            return replace(settled, has_more=True)
        return settled.then(closed)

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        self._settling.forget(experiment_id)
