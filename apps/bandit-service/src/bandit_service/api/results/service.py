"""What is kept about experiments on request: posteriors of a moment, and evaluations that others have made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict

import msgspec

from bandit_core.rules.problems import Invalid
from bandit_service.api.results.schemas import (
    ArmSnapshot,
    EvaluationReport,
    EvaluationRequest,
    SnapshotReport,
    SnapshotRequest,
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
        taken, arms = await self._snapshots.take(experiment_id, request.min_events)
        return SnapshotReport(
            experiment_id=experiment_id,
            taken=taken,
            taken_at=arms[0].taken_at if arms else None,
            arms=[ArmSnapshot(**asdict(arm)) for arm in arms],
        )

    async def evaluation(self, experiment_id: str, request: EvaluationRequest) -> EvaluationReport:
        """Keep an evaluation in the place of the one before of the same data set.

        Raises:
            Invalid: it has two results for the same policies and estimator.
        """
        names = {(each.behavior_policy, each.evaluation_policy, each.method) for each in request.results}
        if len(names) < len(request.results):
            raise Invalid.field("results", "a policy is evaluated twice by the same method on the same log")
        results = msgspec.to_builtins(request.results)
        await self._evaluations.replace(experiment_id, request.dataset, request.digest, results)
        return EvaluationReport(experiment_id=experiment_id, dataset=request.dataset, results=len(results))
