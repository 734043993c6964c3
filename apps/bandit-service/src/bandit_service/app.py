"""The application factory: settings in, a FastAPI application out."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from bandit_service.api.decisions import endpoints as decision_endpoints
from bandit_service.api.experiments import endpoints as experiment_endpoints
from bandit_service.api.planning import endpoints as planning_endpoints
from bandit_service.api.planning.service import Planner
from bandit_service.api.results import endpoints as results_endpoints
from bandit_service.api.rewards import endpoints as reward_endpoints
from bandit_service.compat.banditdb import endpoints as banditdb_endpoints
from bandit_service.compat.mcp.application import PATH as MCP_PATH
from bandit_service.compat.mcp.application import McpApplication
from bandit_service.compat.mcp.tools import tools as mcp_tools
from bandit_service.http import documentation_page, openapi, problems
from bandit_service.http.application import Application, RequestMiddleware
from bandit_service.http.fast_path import FastPath
from bandit_service.http.health import router as health_router
from bandit_service.http.rate_limit import Admission, Rate
from bandit_service.http.request_guard import RequestGuard
from bandit_service.replica import Replica
from bandit_service.serving.random_bytes import RandomBytesPool
from bandit_service.settings import Settings

DESCRIPTION = """Thompson sampling for adaptive experiments: which arm for this request, and what came of it.

Every decision carries its exact propensity, every reward counts exactly once, and every change of weights is explained.
"""
TAGS = [
    {"name": "decisions", "description": "Which arm for this request"},
    {"name": "rewards", "description": "What came of it"},
    {"name": "experiments", "description": "Create, change and end experiments"},
    {"name": "beliefs", "description": "What is believed, what is done about it, and why"},
    {"name": "operation", "description": "Probes and metrics"},
]


def create_app(
    settings: Settings, *, clock: Callable[[], float] = time.time, rng: np.random.Generator | None = None
) -> Application:
    """Return the application; everything it needs is opened when it starts and closed when it stops."""
    replica = Replica(settings, clock=clock, rng=rng or np.random.default_rng())

    admission = Admission(replica.keyring, Rate.of(settings), metrics=replica.metrics, monotonic=time.monotonic)
    mcp_application = McpApplication(mcp_tools(replica.banditdb), admission)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with replica.running(), mcp_application.running():
            yield

    app = Application(
        title="bandit-service",
        version=version("bandit-service"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        # A redirect would name the host that the request names, and leave https behind a proxy.
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.root_path = settings.root_path
    app.metrics = replica.metrics
    fast_path = FastPath(admission, replica.metrics)
    routes = [
        *decision_endpoints.routes(fast_path, replica.decisions),
        *reward_endpoints.routes(fast_path, replica.rewards),
    ]
    app.router.routes += routes
    new_request_id = RandomBytesPool(secrets.token_bytes).name

    guard = RequestGuard(settings.own_host_names)

    def watched(inner: ASGIApp) -> ASGIApp:
        return RequestMiddleware(
            inner, guard=guard, max_body_bytes=settings.max_body_bytes, new_request_id=new_request_id
        )

    app.short_cuts = {route.path: watched(route.app) for route in routes}
    app.include_router(experiment_endpoints.router(replica.experiments, admission))
    app.include_router(
        results_endpoints.router(
            replica.reports, replica.experiment_reports, replica.records, replica.lookup, admission
        )
    )
    app.include_router(planning_endpoints.router(Planner(), admission))
    token = settings.metrics_token
    app.include_router(
        health_router(replica.metrics, replica.readiness, None if token is None else token.get_secret_value())
    )
    if settings.banditdb:
        app.router.routes.append(banditdb_endpoints.mount(replica.banditdb, replica.readiness, admission))
    if settings.mcp:
        app.router.routes.append(Route(MCP_PATH, mcp_application, methods=["POST"]))
    app.add_middleware(watched)
    documentation_page.install(app)
    problems.install(app)
    _document(app, fast_path)
    return app


def _document(app: FastAPI, fast_path: FastPath) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.document(
                app,
                fast_path.endpoints,
                (*experiment_endpoints.STRUCTS, *results_endpoints.STRUCTS, *planning_endpoints.STRUCTS),
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the framework's documented way
