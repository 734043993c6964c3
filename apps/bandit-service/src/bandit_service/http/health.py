"""Is the process alive, can it serve, and what is degraded."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import partial
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from bandit_core.rules.problems import Unauthorized
from bandit_service.http.problems import responses
from bandit_service.metrics import MEDIA_TYPE, Metrics


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Whether the process can serve, and the parts that are away while it goes on without them."""

    status: Literal["ready", "starting", "draining"]
    degraded: list[str]


def router(metrics: Metrics, readiness: Callable[[], Readiness], metrics_token: str | None) -> APIRouter:
    """Return /health, /ready and /metrics; with a token, /metrics is only for those who send it."""
    routes = APIRouter(tags=["operation"], generate_unique_id_function=lambda route: route.name)
    # Balancers probe by HEAD too, and get the same status; the server leaves the body out.
    head = partial(routes.head, include_in_schema=False)

    @head("/health")
    @routes.get("/health", summary="The process answers")
    async def health() -> Liveness:
        """Liveness: says nothing about Redis or Postgres, so that their outage does not restart pods."""
        return Liveness()

    @head("/ready")
    @routes.get("/ready", summary="The process can serve", responses={503: {"model": Readiness}})
    async def ready(response: Response) -> Readiness:
        """Readiness: true once definitions and weights can be answered for, from the store or from memory."""
        answer = readiness()
        if answer.status != "ready":
            response.status_code = 503
        return answer

    @head("/metrics")
    @routes.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses={**responses(401), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def scrape(request: Request) -> Response:
        """Counters and latencies of this process; gauges per arm from the one that holds the experiment's lease.

        It names the experiments of all namespaces. Where `BANDIT_METRICS_TOKEN` is set, that is the bearer token.
        """
        if metrics_token is not None:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), metrics_token.encode()):
                raise Unauthorized("the metrics need the token of BANDIT_METRICS_TOKEN")
        return Response(metrics.render(), media_type=MEDIA_TYPE)

    return routes
