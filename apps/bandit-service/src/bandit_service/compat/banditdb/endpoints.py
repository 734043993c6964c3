"""BanditDB's paths, as its Python client asks for them; an answer other than 200 is a failure to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from structlog.contextvars import bind_contextvars

from bandit_core.rules.decoding import decode_item
from bandit_core.rules.problems import Problem
from bandit_service.compat.banditdb.schemas import (
    AddArm,
    BatchPredict,
    CreateCampaign,
    Interact,
    Predict,
    Prediction,
    Refusal,
    Reward,
    SetArmStatus,
)
from bandit_service.compat.banditdb.service import BanditDb
from bandit_service.domain.api_key import Principal, Role
from bandit_service.http.health import Readiness
from bandit_service.http.rate_limit import Admission

PATH: Final = "/banditdb"
# The version of BanditDB whose API this is: the one before budgets.
API_VERSION: Final = f"2.2.0+bandit-service.{version('bandit-service')}"
_encode = msgspec.json.Encoder().encode


class GuardedCall[B](NamedTuple):
    """A request that was let in."""

    principal: Principal
    path: dict[str, str]
    body: B


type Handler[B] = Callable[[GuardedCall[B]], Awaitable[object]]


def mount(banditdb: BanditDb, readiness: Callable[[], Readiness], admission: Admission) -> Mount:
    """Return the whole API below its path."""
    guard = _Guard(admission)
    routes = [
        _health(readiness),
        *_reading(guard, banditdb),
        *_changing(guard, banditdb),
        *_deciding(guard, banditdb, admission),
    ]
    return Mount(PATH, routes=routes)


class _Guard:
    """Makes routes that know their caller before they look at anything a request brings."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def get(self, path: str, handler: Handler[None]) -> Route:
        return self._route("GET", path, "reader", None, handler)

    def delete(self, path: str, handler: Handler[None]) -> Route:
        return self._route("DELETE", path, "admin", None, handler)

    def post[B](self, path: str, role: Role, body: type[B] | None, handler: Handler[B]) -> Route:
        return self._route("POST", path, role, body, handler)

    def _route(self, method: str, path: str, role: Role, body: type[Any] | None, handler: Handler[Any]) -> Route:
        async def serve(request: Request) -> Response:
            principal = await self._admission.admit(request.headers)
            bind_contextvars(principal=principal.name)
            principal.require(role)
            content = None if body is None else decode_item(body, await request.body())
            answer = await handler(GuardedCall(principal, dict(request.path_params), content))
            return Response(_encode(answer), media_type="application/json")

        return Route(path, serve, methods=[method], name=f"{method} {path}")


def _health(readiness: Callable[[], Readiness]) -> Route:
    async def health(_: Request) -> Response:
        now = readiness()
        status = "ok" if now.status == "ready" and not now.degraded else "degraded"
        body = {"status": status, "version": API_VERSION, "features": []}
        return Response(_encode(body), 200 if now.status == "ready" else 503, media_type="application/json")

    return Route("/health", health, methods=["GET"])


def _reading(guard: _Guard, banditdb: BanditDb) -> list[Route]:
    async def pacing(call: GuardedCall[None]) -> None:
        await banditdb.check_known(call.path["campaign_id"], call.principal)

    async def export(call: GuardedCall[None]) -> object:
        return await asyncio.to_thread(banditdb.exported, call.principal)

    return [
        guard.get("/health/detail", lambda call: banditdb.health(call.principal)),
        guard.get("/campaigns", lambda call: banditdb.campaigns(call.principal)),
        guard.get("/campaign/{campaign_id}", lambda call: banditdb.info(call.path["campaign_id"], call.principal)),
        guard.get(
            "/campaign/{campaign_id}/report", lambda call: banditdb.report(call.path["campaign_id"], call.principal)
        ),
        guard.get(
            "/campaign/{campaign_id}/diagnostics",
            lambda call: banditdb.diagnostics(call.path["campaign_id"], call.principal),
        ),
        guard.get("/campaign/{campaign_id}/pacing", pacing),
        guard.get("/export", export),
    ]


def _changing(guard: _Guard, banditdb: BanditDb) -> list[Route]:
    async def create(call: GuardedCall[CreateCampaign]) -> str:
        await banditdb.create(call.body, call.principal)
        return "Campaign Created"

    async def delete(call: GuardedCall[None]) -> str:
        await banditdb.delete(call.path["campaign_id"], call.principal)
        return "Campaign Deleted"

    async def archive(call: GuardedCall[None]) -> str:
        await banditdb.archive(call.path["campaign_id"], call.principal)
        return "Campaign Archived"

    async def restore(call: GuardedCall[None]) -> str:
        await banditdb.restore(call.path["campaign_id"], call.principal)
        return "Campaign Restored"

    async def add_arm(call: GuardedCall[AddArm]) -> str:
        await banditdb.add_arm(call.path["campaign_id"], call.body, call.principal)
        return "Arm Added"

    async def set_arm_status(call: GuardedCall[SetArmStatus]) -> str:
        await banditdb.set_arm_status(call.path["campaign_id"], call.path["arm_id"], call.body, call.principal)
        return "Arm Status Updated"

    return [
        guard.post("/campaign", "admin", CreateCampaign, create),
        guard.delete("/campaign/{campaign_id}", delete),
        guard.post("/campaign/{campaign_id}/archive", "admin", None, archive),
        guard.post("/campaign/{campaign_id}/restore", "admin", None, restore),
        guard.post("/campaign/{campaign_id}/arms", "admin", AddArm, add_arm),
        guard.post("/campaign/{campaign_id}/arms/{arm_id}/status", "admin", SetArmStatus, set_arm_status),
        guard.post("/checkpoint", "admin", None, lambda call: banditdb.checkpoint(call.principal)),
    ]


def _deciding(guard: _Guard, banditdb: BanditDb, admission: Admission) -> list[Route]:
    async def batch_predict(call: GuardedCall[BatchPredict]) -> list[Prediction | Refusal]:
        items = call.body.predictions
        admission.charge(call.principal, max(0, len(items) - 1))
        return await asyncio.gather(*(_predicted(banditdb, item, call.principal) for item in items))

    async def reward(call: GuardedCall[Reward]) -> str:
        await banditdb.reward(call.body, call.principal)
        return "OK"

    async def interact(call: GuardedCall[Interact]) -> dict[str, str]:
        return {"interaction_id": await banditdb.interact(call.path["campaign_id"], call.body, call.principal)}

    return [
        guard.post("/predict", "writer", Predict, lambda call: banditdb.predict(call.body, call.principal)),
        guard.post("/batch_predict", "writer", BatchPredict, batch_predict),
        guard.post("/reward", "writer", Reward, reward),
        guard.post("/campaign/{campaign_id}/interact", "writer", Interact, interact),
    ]


async def _predicted(banditdb: BanditDb, item: Sequence[int], principal: Principal) -> Prediction | Refusal:
    campaign_id = None
    try:
        request = decode_item(Predict, item)
        campaign_id = request.campaign_id
        return await banditdb.predict(request, principal)
    except Problem as problem:
        return Refusal(campaign_id=campaign_id, error=problem.detail)
