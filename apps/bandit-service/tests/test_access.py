"""Who may call what: every endpoint, without a key, and with one of each role in its own and a foreign namespace."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest

from bandit_service.domain.api_key import Role, new_key
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.pool import make_pool

if TYPE_CHECKING:
    from conftest import RunReplica

    from bandit_service.settings import Settings

OWN, FOREIGN, ALL = "shop", "blog", "*"
ROLES: tuple[Role, ...] = ("reader", "writer", "admin")
WHY = {"reason": "a test"}
SELECTION = {"experiment_id": "{id}"}
REWARD = {"experiment_id": "{id}", "arm": "a", "reward": 1}
RESULT = {"behavior_policy": "random", "evaluation_policy": "bts", "method": "dr", "estimate": 0.1}
PLAN = {"arms": 2, "rate": 0.1, "lift": 0.5, "traffic": 10, "days": 1, "runs": 10}
EVALUATION = {"dataset": "obp", "digest": "x", "results": [RESULT | {"n": 1, "ess": 1.0, "coverage": 1.0}]}

type Need = Literal["nothing", "reader", "writer", "admin"]


@dataclass(frozen=True)
class Row:
    """What an endpoint needs, a request that succeeds, and how that and one from a foreign namespace are answered."""

    needs: Need
    body: Any = None
    succeeds: int = 200
    foreign: int = 404


ROWS = {
    "GET /health": Row("nothing"),
    "GET /ready": Row("nothing"),
    "GET /metrics": Row("nothing"),
    "POST /select": Row("writer", SELECTION),
    "POST /select/batch": Row("writer", {"items": [SELECTION]}),
    "POST /activate": Row("writer", {"experiment_id": "{id}", "decision_id": "deferred"}),
    "POST /reward": Row("writer", REWARD),
    "POST /reward/batch": Row("writer", {"items": [REWARD]}),
    "POST /experiments": Row("admin", {"experiment_id": "{id}-2", "arms": ["a", "b"]}, 201, foreign=403),
    "GET /experiments": Row("reader", foreign=200),
    "GET /experiments/{experiment_id}": Row("reader"),
    "PATCH /experiments/{experiment_id}": Row("admin", WHY | {"description": "other"}),
    "PUT /experiments/{experiment_id}": Row("admin", {"experiment_id": "{id}", "arms": ["a", "b", "c"]}),
    "DELETE /experiments/{experiment_id}": Row("admin"),
    "GET /experiments/{experiment_id}/changes": Row("reader"),
    "POST /experiments/{experiment_id}/snapshots": Row("admin", {}),
    "POST /plan": Row("reader", PLAN, foreign=200),
    "POST /experiments/{experiment_id}/evaluations": Row("admin", EVALUATION),
    "POST /experiments/{experiment_id}/arms": Row("admin", WHY | {"id": "d"}, 201),
    "POST /experiments/{experiment_id}/arms/{arm_id}/retire": Row("admin", WHY),
    "POST /experiments/{experiment_id}/arms/{arm_id}/pause": Row("admin", WHY),
    "POST /experiments/{experiment_id}/arms/{arm_id}/resume": Row("admin", WHY),
    "POST /experiments/{experiment_id}/pause": Row("admin", WHY),
    "POST /experiments/{experiment_id}/resume": Row("admin", WHY),
    "POST /experiments/{experiment_id}/conclude": Row("admin", WHY | {"winner": "a"}),
    "GET /experiments/{experiment_id}/posterior": Row("reader"),
    "GET /experiments/{experiment_id}/allocation": Row("reader"),
    "GET /experiments/{experiment_id}/conclusion": Row("reader"),
    "GET /experiments/{experiment_id}/report": Row("reader"),
}
DOCUMENT = json.loads(files("bandit_service").joinpath("openapi.json").read_text())
# That the document holds every route is tested in test_openapi.py.
OPERATIONS = [f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods]


def test_every_endpoint_has_a_row() -> None:
    assert set(OPERATIONS) == ROWS.keys()


@dataclass
class Door:
    """A service that needs keys, and keys of every kind."""

    http: httpx.AsyncClient
    keys: dict[tuple[Role, str], str]
    numbers: itertools.count[int]

    async def experiment(self) -> str:
        """Create an experiment in the namespace that is not foreign, with a decision to activate."""
        name = f"{OWN}.homepage-{next(self.numbers)}"
        await self._ask("/experiments", {"experiment_id": name, "arms": ["a", "b", "c"]})
        await self._ask("/select", {"experiment_id": name, "decision_id": "deferred", "defer_activation": True})
        return name

    async def call(self, operation: str, experiment_id: str, key: str | None) -> int:
        """Return how a request is answered; of a batch, how its item is."""
        method, path = operation.replace("{experiment_id}", experiment_id).replace("{arm_id}", "c").split()
        body = json.loads(json.dumps(ROWS[operation].body).replace("{id}", experiment_id))
        headers = {} if key is None else {"X-Api-Key": key}
        answer = await self.http.request(method, path, json=body, headers=headers)
        found: Any = answer.json() if "json" in answer.headers["content-type"] else {}
        if operation == "GET /experiments" and key is not None and answer.status_code == 200:
            listed = {item["namespace"] for item in found["items"]}
            assert listed == (set() if key in self.foreign else {OWN})
        if path.endswith("/batch") and answer.status_code == 200:
            return int(found["items"][0]["status"])
        return answer.status_code

    async def state(self, experiment_id: str) -> Any:
        """Return everything that a request could have changed."""
        paths = [f"/experiments/{experiment_id}", f"/experiments/{experiment_id}/posterior", "/experiments?limit=1000"]
        answers = [await self.http.get(path, headers=self.admin) for path in paths]
        state = [answer.json() for answer in answers]
        for arm in state[1]["arms"]:
            # Weights follow by themselves, and shortly after.
            arm.pop("weight")
        return [state[0], state[1]["arms"], state[2]]

    @property
    def admin(self) -> dict[str, str]:
        return {"X-Api-Key": self.keys["admin", ALL]}

    @property
    def foreign(self) -> set[str]:
        return {key for (_, namespace), key in self.keys.items() if namespace == FOREIGN}

    async def _ask(self, path: str, body: object) -> None:
        (await self.http.post(path, json=body, headers=self.admin)).raise_for_status()


@pytest.fixture(scope="module")
async def door(module_settings: Settings, run_replica: RunReplica) -> AsyncIterator[Door]:
    keys = {}
    async with make_pool(module_settings.postgres_dsn.get_secret_value()) as pool:
        for role, namespace in itertools.product(ROLES, (OWN, FOREIGN, ALL)):
            keys[role, namespace], key = new_key(role, role, namespace, secrets.token_bytes)
            await ApiKeysRepository(pool).add(key)
    async with run_replica(module_settings.model_copy(update={"auth_required": True})) as http:
        yield Door(http, keys, itertools.count())


def expected(operation: str, role: Role, namespace: str) -> int:
    """Return the status for a key. Of a foreign experiment a management endpoint does not even say that it is there."""
    row = ROWS[operation]
    if row.needs == "nothing":
        return row.succeeds
    may = ROLES.index(role) >= ROLES.index(row.needs)
    if namespace == FOREIGN and (may or "{experiment_id}" in operation):
        return row.foreign
    return row.succeeds if may else 403


CASES = list(itertools.product(ROLES, (OWN, FOREIGN, ALL)))


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_who_may_not_call_is_told_so_and_nothing_changes(operation: str, door: Door) -> None:
    name = await door.experiment()
    before = await door.state(name)
    if ROWS[operation].needs != "nothing":
        for key in (None, "", "bandit_0_0", door.keys["admin", OWN][:-1]):
            assert await door.call(operation, name, key) == 401
    for role, namespace in CASES:
        status = expected(operation, role, namespace)
        if status != ROWS[operation].succeeds:
            assert await door.call(operation, name, door.keys[role, namespace]) == status, (role, namespace)
    assert await door.state(name) == before


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_who_may_call_is_served(operation: str, door: Door) -> None:
    name = await door.experiment()
    for role, namespace in CASES:
        status = expected(operation, role, namespace)
        if status == ROWS[operation].succeeds:
            if not operation.startswith("GET"):
                name = await door.experiment()
            assert await door.call(operation, name, door.keys[role, namespace]) == status, (role, namespace)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if ROWS[name].needs == "nothing"])
async def test_probes_and_metrics_need_no_key(operation: str, door: Door) -> None:
    assert await door.call(operation, "", None) == 200
