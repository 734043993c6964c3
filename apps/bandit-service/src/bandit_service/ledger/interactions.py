"""Decisions that have their reward, as linear models learn from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from bandit_service.ledger.pool import Pool, pages

_TIMEOUT = 600.0


class Interaction(NamedTuple):
    """A decision with its reward in millionths. Times are seconds since the epoch (UTC)."""

    decision_id: str
    arm_index: int
    reward_micro: int
    decided_at: float
    rewarded_at: float
    propensity: float | None
    context: list[float]


class Interactions:
    """Reads them. Raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of(self, experiment_id: str) -> AsyncIterator[list[Interaction]]:
        """Yield all of an experiment's, page by page, the oldest first."""
        async for page in pages(self._pool, "rewarded_contexts", {"experiment_id": experiment_id}, timeout=_TIMEOUT):
            yield [Interaction(*row) for row in page]
