"""POST /select, /select/batch and /activate."""

from __future__ import annotations

from starlette.routing import Route

from bandit_core.rules.requests import (
    ActivateRequest,
    ActivateResponse,
    BatchRequest,
    SelectRequest,
    SelectResponse,
)
from bandit_service.api.decisions.service import Decisions
from bandit_service.http.fast_path import FastEndpoint, FastPath

_PROBLEMS = (401, 403, 404, 409, 413, 415, 422, 429, 503)
EXAMPLE_ID = "d1.AAAAAQAAAAc_0zMzMzMzMwAAAZqV1Y7gq0m3zXl6p2hob21lcGFnZQ"

SELECT = FastEndpoint(
    path="/select",
    tag="decisions",
    summary="Which arm for this request",
    description="One draw from the published weights. The answer's propensity is the weight that was drawn with.",
    request=SelectRequest,
    response=SelectResponse,
    problems=_PROBLEMS,
    request_example={"experiment_id": "homepage", "unit_id": "visitor-17"},
    response_example={
        "decision_id": EXAMPLE_ID,
        "experiment_id": "homepage",
        "arm": "b",
        "arm_index": 1,
        "propensity": 0.62,
        "weights_version": 41,
        "stratum": "bandit",
        "recorded": True,
    },
)
SELECT_BATCH = FastEndpoint(
    path="/select/batch",
    tag="decisions",
    summary="Up to 1,000 selections, each with its own result",
    description="Items are independent: one that is refused does not touch the others.",
    request=BatchRequest,
    item=SelectRequest,
    response=SelectResponse,
    problems=(401, 403, 413, 415, 422, 429, 503),
    request_example={"items": [{"experiment_id": "homepage"}, {"experiment_id": "checkout", "unit_id": "visitor-17"}]},
)
ACTIVATE = FastEndpoint(
    path="/activate",
    tag="decisions",
    summary="Say that a deferred decision was shown",
    description="A decision made with `defer_activation` counts from here on. A reward that came earlier counts now.",
    request=ActivateRequest,
    response=ActivateResponse,
    problems=(401, 403, 404, 409, 410, 413, 415, 422, 429, 503),
    request_example={"decision_id": EXAMPLE_ID},
)


def routes(fast_path: FastPath, decisions: Decisions) -> list[Route]:
    """Return the routes of decisions."""
    return [
        fast_path.route(SELECT, decisions.select),
        fast_path.batch_route(SELECT_BATCH, decisions.begin_all, decisions.finish),
        fast_path.route(ACTIVATE, decisions.activate),
    ]
