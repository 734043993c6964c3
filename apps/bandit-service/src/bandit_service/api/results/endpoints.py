"""GET /experiments/{id}/posterior, /allocation, /conclusion and /report; POST /snapshots and /evaluations."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends

from bandit_core.rules import records as kept
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.experiments.endpoints import DOCUMENTED_KEYS, READING, Caller, ExperimentId, guarded
from bandit_service.api.results.service import Records
from bandit_service.http.problems import responses
from bandit_service.http.rate_limit import Admission
from bandit_service.http.structs import AsStruct
from bandit_service.results.experiment_report import ExperimentReport, ExperimentReports
from bandit_service.results.report import AllocationReport, ConclusionReport, PosteriorReport, Reports

SnapshotRequest = Annotated[kept.SnapshotRequest, AsStruct(kept.SnapshotRequest), Body()]
SnapshotReport = Annotated[kept.SnapshotReport, AsStruct(kept.SnapshotReport)]
EvaluationRequest = Annotated[kept.EvaluationRequest, AsStruct(kept.EvaluationRequest), Body()]
EvaluationReport = Annotated[kept.EvaluationReport, AsStruct(kept.EvaluationReport)]
STRUCTS = (kept.SnapshotRequest, kept.SnapshotReport, kept.EvaluationRequest, kept.EvaluationReport)


def router(
    reports: Reports,
    experiment_reports: ExperimentReports,
    records: Records,
    lookup: ExperimentLookup,
    admission: Admission,
) -> APIRouter:
    """Return the routes of results."""
    routes = APIRouter(
        prefix="/experiments/{experiment_id}",
        tags=["beliefs"],
        route_class=guarded(admission),
        dependencies=DOCUMENTED_KEYS,
        responses=responses(*READING),
        generate_unique_id_function=lambda route: route.name,
    )

    async def served(experiment_id: ExperimentId, principal: Caller) -> ServedExperiment:
        return await lookup.served(experiment_id, principal)

    Known = Annotated[ServedExperiment, Depends(served)]  # noqa: N806 (a type)

    @routes.get("/posterior", summary="What is believed of each arm")
    async def read_posterior(known: Known) -> PosteriorReport:
        """Posterior, 95% interval, P(best), expected loss and weight of each arm."""
        return await reports.posterior(known)

    @routes.get("/allocation", summary="The published weights and why they are so")
    async def read_allocation(known: Known) -> AllocationReport:
        """Weights with their explanation: what the policy proposed, and what the guardrails made of it."""
        return await reports.allocation(known)

    @routes.get("/conclusion", summary="What the stopping rule says")
    async def read_conclusion(known: Known) -> ConclusionReport:
        """The verdict now, or the conclusion if there is one."""
        return await reports.conclusion(known)

    @routes.get("/report", summary="How the experiment goes, in numbers and plain words")
    async def read_report(known: Known) -> ExperimentReport:
        """Traffic, rewards and beliefs of each arm, whether it still explores, and the holdout's comparison."""
        return await experiment_reports.report(known)

    @routes.post("/snapshots", summary="Keep the posteriors of this moment", responses=responses(400))
    async def take_snapshot(known: Known, body: SnapshotRequest) -> SnapshotReport:
        """Only if something was counted since the last one, unless told otherwise: the request can be repeated."""
        return await records.snapshot(known.experiment.id, body)

    @routes.post("/evaluations", summary="Keep an off-policy evaluation", responses=responses(400))
    async def keep_evaluation(experiment_id: ExperimentId, body: EvaluationRequest) -> EvaluationReport:
        """It takes the place of the one before of the same data set.

        The log need not be one of an experiment of this service: a public data set is kept under an id of its own.
        """
        return await records.evaluation(experiment_id, body)

    return routes
