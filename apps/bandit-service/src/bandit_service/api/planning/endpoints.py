"""POST /plan."""

from typing import Annotated

from fastapi import APIRouter, Body

from bandit_core.rules import planning
from bandit_service.api.experiments.endpoints import DOCUMENTED_KEYS, guarded
from bandit_service.api.planning.service import Planner
from bandit_service.http.problems import responses
from bandit_service.http.rate_limit import Admission
from bandit_service.http.structs import AsStruct

PlanRequest = Annotated[planning.PlanRequest, AsStruct(planning.PlanRequest), Body()]
PlanReport = Annotated[planning.PlanReport, AsStruct(planning.PlanReport)]
STRUCTS = (planning.PlanRequest, planning.PlanReport)


def router(planner: Planner, admission: Admission) -> APIRouter:
    """Return the route of plans."""
    routes = APIRouter(
        tags=["beliefs"],
        route_class=guarded(admission, needs="reader"),
        dependencies=DOCUMENTED_KEYS,
        responses=responses(400, 401, 403, 413, 415, 422, 429, 503),
        generate_unique_id_function=lambda route: route.name,
    )

    @routes.post("/plan", summary="What to expect of an experiment before it starts")
    async def plan(body: PlanRequest) -> PlanReport:
        """How it ends, when, and what it costs beside an even split, by simulation; with the standard errors of that.

        Nothing is created. Rates are assumed not to move, and rewards to be known at once.
        """
        return await planner.plan(body)

    return routes
