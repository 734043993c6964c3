"""What is kept about experiments on request: posteriors of a moment, and evaluations that others have made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from bandit_core.rules.records import (
    EvaluationReport,
    EvaluationRequest,
    SnapshotReport,
    SnapshotRequest,
    evaluation_report,
)
from bandit_service.ledger.evaluations import EvaluationsRepository
from bandit_service.ledger.snapshots import SnapshotsRepository

_CATCH_UP_SECONDS = 1.0


class Records:
    """Keeps records. Methods raise PostgresUnavailableError while Postgres is away.

    `caught_up` waits until what this process took of an experiment is written and settled, so many seconds at most.
    """

    def __init__(
        self,
        snapshots: SnapshotsRepository,
        evaluations: EvaluationsRepository,
        *,
        caught_up: Callable[[str, float], Awaitable[None]],
    ) -> None:
        self._snapshots = snapshots
        self._evaluations = evaluations
        self._caught_up = caught_up

    async def snapshot(self, experiment_id: str, request: SnapshotRequest) -> SnapshotReport:
        """Take a snapshot if enough was counted since the last one; return the newest."""
        await self._caught_up(experiment_id, _CATCH_UP_SECONDS)
        return await self._snapshots.take(experiment_id, request.min_events)

    async def evaluation(self, experiment_id: str, request: EvaluationRequest) -> EvaluationReport:
        """Keep an evaluation in the place of the one before of the same data set.

        Raises:
            Invalid: it has two results for the same policies and estimator.
        """
        report = evaluation_report(experiment_id, request)
        results = msgspec.to_builtins(request.results)
        await self._evaluations.replace(experiment_id, request.dataset, request.digest, results)
        return report
