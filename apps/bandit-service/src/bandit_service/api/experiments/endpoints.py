"""The management endpoints: POST, GET, PATCH and DELETE under /experiments."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from structlog.contextvars import bind_contextvars

from bandit_core.rules import experiment_requests as requests
from bandit_core.rules import views
from bandit_core.rules.experiment import namespace_of
from bandit_core.rules.names import ARM_ID, EXPERIMENT_ID
from bandit_core.rules.problems import Invalid, NotFound
from bandit_service.api.experiments import git
from bandit_service.api.experiments.schemas import ApplyReason, ArchiveReason, ChangesFilter, Filter
from bandit_service.api.experiments.service import Experiments
from bandit_service.domain.api_key import Principal, Role
from bandit_service.http.problems import responses
from bandit_service.http.rate_limit import Admission
from bandit_service.http.structs import AsStruct

READING = (401, 403, 404, 413, 415, 422, 429, 503)
WRITING = (400, *READING, 409)

ExperimentId = Annotated[
    str, Path(pattern=EXPERIMENT_ID.pattern, max_length=128, description="Id of the experiment", examples=["homepage"])
]
ArmId = Annotated[str, Path(pattern=ARM_ID.pattern, max_length=128, description="Id of the arm", examples=["b"])]

NewExperiment = Annotated[requests.NewExperiment, AsStruct(requests.NewExperiment), Body()]
ExperimentChange = Annotated[requests.ExperimentChange, AsStruct(requests.ExperimentChange), Body()]
NewArm = Annotated[requests.NewArm, AsStruct(requests.NewArm), Body()]
Absence = Annotated[requests.Absence, AsStruct(requests.Absence), Body()]
Because = Annotated[requests.Because, AsStruct(requests.Because), Body()]
ConclusionRequest = Annotated[requests.ConclusionRequest, AsStruct(requests.ConclusionRequest), Body()]
ExperimentView = Annotated[views.ExperimentView, AsStruct(views.ExperimentView)]
ExperimentPage = Annotated[views.ExperimentPage, AsStruct(views.ExperimentPage)]
ChangePage = Annotated[views.ChangePage, AsStruct(views.ChangePage)]
STRUCTS = (
    requests.NewExperiment,
    requests.ExperimentChange,
    requests.NewArm,
    requests.Absence,
    requests.Because,
    requests.ConclusionRequest,
    views.ExperimentView,
    views.ExperimentPage,
    views.ChangePage,
)

# For the document only: admission itself reads the headers.
DOCUMENTED_KEYS = [
    Security(HTTPBearer(scheme_name="bearer", auto_error=False, description="An API key")),
    Security(APIKeyHeader(name="X-Api-Key", scheme_name="api_key", auto_error=False, description="An API key")),
]


def guarded(admission: Admission, *, needs: Role = "admin") -> type[APIRoute]:
    """Return a route class that knows its caller before it looks at anything a request brings.

    GET needs a reader, every other method the role that is given. An experiment of a foreign namespace does not exist
    for the caller.
    """

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def serve(request: Request) -> Response:
                request.state.principal = await _admitted(admission, request, needs)
                return await handle(request)

            return serve

    return GuardedRoute


async def _admitted(admission: Admission, request: Request, needs: Role) -> Principal:
    principal = await admission.admit(request.headers)
    bind_contextvars(principal=principal.name)
    experiment_id = request.path_params.get("experiment_id")
    if experiment_id is not None and not principal.sees(namespace_of(experiment_id)):
        raise NotFound(f"there is no experiment {experiment_id!r}")
    principal.require("reader" if request.method == "GET" else needs)
    return principal


async def caller(request: Request) -> Principal:
    """Return who is calling, as the route's guard found out."""
    principal: Principal = request.state.principal
    return principal


Caller = Annotated[Principal, Depends(caller)]


def router(experiments: Experiments, admission: Admission) -> APIRouter:
    """Return the routes of experiments."""
    routes = APIRouter(
        prefix="/experiments",
        tags=["experiments"],
        route_class=guarded(admission),
        dependencies=DOCUMENTED_KEYS,
        generate_unique_id_function=lambda route: route.name,
    )
    _add_collection(routes, experiments)
    _add_item(routes, experiments)
    _add_arms(routes, experiments)
    _add_states(routes, experiments)
    return routes


def _add_collection(routes: APIRouter, experiments: Experiments) -> None:
    @routes.post(
        "",
        status_code=201,
        summary="Create an experiment",
        responses={
            201: {
                "description": "Created, and running",
                "headers": {"Location": {"description": "Its path", "schema": {"type": "string"}}},
            },
            **responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
        },
    )
    async def create_experiment(body: NewExperiment, principal: Caller, response: Response) -> ExperimentView:
        """It starts at once: weights are published as soon as this is answered."""
        experiment = await experiments.create(body, principal)
        response.headers["Location"] = f"/experiments/{experiment.id}"
        return views.ExperimentView.of(experiment)

    @routes.get("", summary="List experiments", responses=responses(401, 403, 413, 415, 422, 429, 503))
    async def list_experiments(wanted: Annotated[Filter, Query()], principal: Caller) -> ExperimentPage:
        """In the order of their ids, and only those of namespaces the key may see."""
        found, cursor = await experiments.search(wanted, principal)
        return views.ExperimentPage(items=tuple(views.ExperimentSummary.of(each) for each in found), next_cursor=cursor)


def _add_item(routes: APIRouter, experiments: Experiments) -> None:
    @routes.get("/{experiment_id}", summary="Read an experiment", responses=responses(*READING))
    async def read_experiment(experiment_id: ExperimentId) -> ExperimentView:
        return views.ExperimentView.of(await experiments.read(experiment_id))

    @routes.patch("/{experiment_id}", summary="Change settings of an experiment", responses=responses(*WRITING))
    async def change_experiment(
        experiment_id: ExperimentId, body: ExperimentChange, principal: Caller
    ) -> ExperimentView:
        """What is left out stays as it is; null clears. A change that changes nothing makes no revision."""
        return views.ExperimentView.of(await experiments.change(experiment_id, body, principal))

    @routes.put(
        "/{experiment_id}",
        summary="Make an experiment what a file in Git says",
        responses={
            201: {"model": ExperimentView, "description": "Created, and running"},
            **responses(*WRITING),
        },
    )
    async def apply_experiment(
        experiment_id: ExperimentId,
        body: NewExperiment,
        why: Annotated[ApplyReason, Query()],
        principal: Caller,
        request: Request,
        response: Response,
    ) -> ExperimentView:
        """It is created, or changed to what is named. The same file again changes nothing; its status stays as it is.

        What is named belongs to Git from then on: another way of changing it is refused. What is named no longer
        keeps its value and is free again.
        """
        if body.experiment_id != experiment_id:
            raise Invalid.field("experiment_id", f"is {body.experiment_id!r}, and the path says {experiment_id!r}")
        file = git.file_of(body, await request.json())
        experiment, created = await experiments.apply(file, why.reason, principal)
        if created:
            response.status_code = 201
        return views.ExperimentView.of(experiment)

    @routes.delete("/{experiment_id}", summary="Archive an experiment", responses=responses(*READING))
    async def archive_experiment(
        experiment_id: ExperimentId, why: Annotated[ArchiveReason, Query()], principal: Caller
    ) -> ExperimentView:
        """For good: it is served no longer, and its id stays taken. Nothing is deleted."""
        return views.ExperimentView.of(
            await experiments.archive(experiment_id, requests.Because(reason=why.reason), principal)
        )

    @routes.get("/{experiment_id}/changes", summary="Who changed what, and why", responses=responses(*READING))
    async def list_changes(experiment_id: ExperimentId, wanted: Annotated[ChangesFilter, Query()]) -> ChangePage:
        """Newest first."""
        found = await experiments.changes(experiment_id, wanted)
        return views.ChangePage(
            items=tuple(msgspec.convert(each, views.ChangeView, from_attributes=True) for each in found)
        )


def _add_arms(routes: APIRouter, experiments: Experiments) -> None:
    @routes.post("/{experiment_id}/arms", status_code=201, summary="Add an arm", responses=responses(*WRITING))
    async def add_arm(experiment_id: ExperimentId, body: NewArm, principal: Caller) -> ExperimentView:
        """It enters at the floor of the guardrails and earns its way up."""
        return views.ExperimentView.of(await experiments.add_arm(experiment_id, body, principal))

    @routes.post("/{experiment_id}/arms/{arm_id:path}/retire", summary="Retire an arm", responses=responses(*WRITING))
    async def retire_arm(
        experiment_id: ExperimentId, arm_id: ArmId, body: Absence, principal: Caller
    ) -> ExperimentView:
        """It is served no longer; its data stay, and late rewards still count."""
        return views.ExperimentView.of(await experiments.retire_arm(experiment_id, arm_id, body, principal))

    @routes.post("/{experiment_id}/arms/{arm_id:path}/pause", summary="Pause an arm", responses=responses(*WRITING))
    async def pause_arm(experiment_id: ExperimentId, arm_id: ArmId, body: Absence, principal: Caller) -> ExperimentView:
        """It is served no longer until it is resumed, and learns from late rewards meanwhile."""
        return views.ExperimentView.of(await experiments.pause_arm(experiment_id, arm_id, body, principal))

    @routes.post(
        "/{experiment_id}/arms/{arm_id:path}/resume", summary="Serve an arm again", responses=responses(*WRITING)
    )
    async def resume_arm(
        experiment_id: ExperimentId, arm_id: ArmId, body: Because, principal: Caller
    ) -> ExperimentView:
        """A paused or retired arm comes back with all it has learnt."""
        return views.ExperimentView.of(await experiments.resume_arm(experiment_id, arm_id, body, principal))


def _add_states(routes: APIRouter, experiments: Experiments) -> None:
    @routes.post("/{experiment_id}/pause", summary="Serve the default arm only", responses=responses(*WRITING))
    async def pause_experiment(experiment_id: ExperimentId, body: Because, principal: Caller) -> ExperimentView:
        """Decisions go on, but belong to the stratum `paused` and change no belief."""
        return views.ExperimentView.of(await experiments.pause(experiment_id, body, principal))

    @routes.post("/{experiment_id}/resume", summary="Go on after a pause", responses=responses(*WRITING))
    async def resume_experiment(experiment_id: ExperimentId, body: Because, principal: Caller) -> ExperimentView:
        return views.ExperimentView.of(await experiments.resume(experiment_id, body, principal))

    @routes.post("/{experiment_id}/conclude", summary="End an experiment", responses=responses(*WRITING))
    async def conclude_experiment(
        experiment_id: ExperimentId, body: ConclusionRequest, principal: Caller
    ) -> ExperimentView:
        """From now on the winner is served: the one named, or else the one of the stopping rule.

        With `by_rule` nothing changes unless the stopping rule ends the experiment now: such a request can be repeated.
        """
        return views.ExperimentView.of(await experiments.conclude(experiment_id, body, principal))
