"""The management endpoints of a running service: who may do what, what comes back, and what is refused."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from bandit_core.rules.views import ExperimentView
from bandit_service.domain.api_key import new_key
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.pool import make_pool

NEW = {"experiment_id": "homepage", "arms": ["a", {"id": "b", "prior": {"alpha": 2, "beta": 8}}, "c"]}
WHY = {"reason": "why"}


class Operation(NamedTuple):
    """An endpoint, a request it accepts, and the role it needs. `{id}` stands for an experiment's id."""

    method: str
    path: str
    role: str
    body: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


ITEM_OPERATIONS = [
    Operation("GET", "/experiments/{id}", "reader"),
    Operation("GET", "/experiments/{id}/changes", "reader"),
    Operation("PATCH", "/experiments/{id}", "admin", {**WHY, "description": "new"}),
    Operation("POST", "/experiments/{id}/arms", "admin", {**WHY, "id": "d"}),
    Operation("POST", "/experiments/{id}/arms/c/pause", "admin", WHY),
    Operation("POST", "/experiments/{id}/arms/c/resume", "admin", WHY),
    Operation("POST", "/experiments/{id}/arms/c/retire", "admin", WHY),
    Operation("PUT", "/experiments/{id}", "admin", {"experiment_id": "{id}", "arms": ["a", "b", "c", "d"]}),
    Operation("POST", "/experiments/{id}/pause", "admin", WHY),
    Operation("POST", "/experiments/{id}/resume", "admin", WHY),
    Operation("POST", "/experiments/{id}/conclude", "admin", {**WHY, "winner": "a"}),
    Operation("DELETE", "/experiments/{id}", "admin"),
]
RANK = {"reader": 0, "writer": 1, "admin": 2}


@pytest.fixture
async def guarded(start_service: Any, postgres_dsn: str) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """A service that needs keys, and its keys: `role@namespace`, and `admin@*`."""
    keys = {}
    async with make_pool(postgres_dsn) as pool:
        for role in RANK:
            for namespace in ("shop", "blog", "*"):
                text, key = new_key(f"{role}@{namespace}", role, namespace, secrets.token_bytes)  # type: ignore[arg-type]
                await ApiKeysRepository(pool).add(key)
                keys[f"{role}@{namespace}"] = text
    async with start_service(auth_required=True) as client:
        yield client, keys


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def call(
    client: httpx.AsyncClient, operation: Operation, experiment_id: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    body = operation.body
    if body is not None and "experiment_id" in body:
        body = body | {"experiment_id": experiment_id}
    return await client.request(operation.method, operation.path.format(id=experiment_id), json=body, headers=headers)


async def create(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    response = await client.post("/experiments", json={**NEW, **changes}, headers=headers)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    return found


async def test_a_created_experiment_is_where_its_location_says(client: httpx.AsyncClient) -> None:
    response = await client.post("/experiments", json=NEW)
    assert response.status_code == 201
    assert response.headers["location"] == "/experiments/homepage"
    read = await client.get(response.headers["location"])
    assert read.json() == response.json()
    msgspec.convert(read.json(), ExperimentView)
    assert "salt" not in read.text


async def test_a_created_experiment_serves_at_once(start_service: Any) -> None:
    # A patient service: on a busy machine the first computation of weights may hold up everything else for a moment.
    async with start_service() as client:
        await create(client)
        response = await client.post("/select", json={"experiment_id": "homepage"})
        assert response.status_code == 200
        assert response.json()["arm"] in ("a", "b", "c")


async def test_a_whole_life(client: httpx.AsyncClient) -> None:
    """Created, changed, arms added, paused, resumed, retired; kept in Git, paused, resumed, ended, archived."""
    await create(client, default_arm="a")
    for operation in ITEM_OPERATIONS:
        assert (await call(client, operation, "homepage")).status_code in (200, 201), operation
    final = (await client.get("/experiments/homepage")).json()
    assert (final["status"], final["winner"], final["description"]) == ("archived", "a", "new")
    assert [(arm["id"], arm["index"], arm["status"]) for arm in final["arms"]] == [
        ("a", 0, "active"),
        ("b", 1, "active"),
        ("c", 2, "retired"),
        ("d", 3, "active"),
    ]
    changes = (await client.get("/experiments/homepage/changes")).json()["items"]
    assert [change["revision"] for change in changes] == list(range(11, 0, -1))
    assert [change["change"]["action"] for change in reversed(changes)] == [
        "create",
        "change",
        "add_arm",
        "pause_arm",
        "resume_arm",
        "retire_arm",
        "apply",
        "pause",
        "resume",
        "conclude",
        "archive",
    ]
    assert {change["who"] for change in changes} == {"anonymous"}


@pytest.mark.parametrize("operation", ITEM_OPERATIONS, ids=str)
async def test_every_operation_needs_its_role_in_its_namespace(
    operation: Operation, guarded: tuple[httpx.AsyncClient, dict[str, str]]
) -> None:
    """A foreign experiment does not exist for the caller; in its own namespace the role decides."""
    client, keys = guarded
    await create(client, bearer(keys["admin@shop"]), experiment_id="shop.common")
    for role, rank in RANK.items():
        for namespace in ("blog", "shop", "*"):
            name, expected = "shop.common", 201 if operation.path.endswith("/arms") else 200
            if namespace == "blog":
                expected = 404
            elif rank < RANK[operation.role]:
                expected = 403
            elif operation.method != "GET":
                # Some changes succeed only once.
                name = f"shop.{role}-{len(namespace)}"
                await create(client, bearer(keys["admin@shop"]), experiment_id=name)
            response = await call(client, operation, name, bearer(keys[f"{role}@{namespace}"]))
            assert response.status_code == expected, (role, namespace, response.text)


@pytest.mark.parametrize("operation", [Operation("GET", "/experiments", "reader"), *ITEM_OPERATIONS], ids=str)
async def test_no_key_and_a_wrong_key_are_refused_before_anything_is_looked_at(
    operation: Operation, guarded: tuple[httpx.AsyncClient, dict[str, str]]
) -> None:
    client, _ = guarded
    for headers in ({}, bearer("bandit_123456_wrong"), {"X-Api-Key": "wrong"}):
        response = await call(client, operation, "shop.x", headers)
        assert problem(response, 401)["title"] == "Unauthorized"
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_body_is_not_even_parsed_for_strangers(
    guarded: tuple[httpx.AsyncClient, dict[str, str]],
) -> None:
    client, _ = guarded
    response = await client.post("/experiments", content="{", headers={"content-type": "application/json"})
    problem(response, 401)


@pytest.mark.parametrize(
    ("key", "name", "expected"),
    [
        ("admin@shop", "shop.one", 201),
        ("admin@*", "shop.one", 201),
        ("admin@shop", "blog.one", 403),
        ("admin@shop", "one", 403),
        ("writer@shop", "shop.one", 403),
        ("reader@*", "shop.one", 403),
    ],
)
async def test_experiments_are_created_by_admins_of_their_namespace(
    key: str, name: str, expected: int, guarded: tuple[httpx.AsyncClient, dict[str, str]]
) -> None:
    client, keys = guarded
    body = {**NEW, "experiment_id": name}
    response = await client.post("/experiments", json=body, headers=bearer(keys[key]))
    assert response.status_code == expected


async def test_changes_carry_the_name_of_the_key(guarded: tuple[httpx.AsyncClient, dict[str, str]]) -> None:
    client, keys = guarded
    key = {"X-Api-Key": keys["admin@shop"]}
    await create(client, key, experiment_id="shop.one")
    changes = (await client.get("/experiments/shop.one/changes", headers=key)).json()["items"]
    assert [change["who"] for change in changes] == ["admin@shop"]


async def test_a_list_shows_the_key_s_namespace_only(guarded: tuple[httpx.AsyncClient, dict[str, str]]) -> None:
    client, keys = guarded
    for name in ("shop.one", "blog.one"):
        await create(client, bearer(keys["admin@*"]), experiment_id=name)
    for key, expected in {"reader@shop": ["shop.one"], "reader@*": ["blog.one", "shop.one"]}.items():
        page = (await client.get("/experiments", headers=bearer(keys[key]))).json()
        assert [item["experiment_id"] for item in page["items"]] == expected
        assert page["next_cursor"] is None


async def test_a_list_goes_on_where_the_cursor_says(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await create(client, experiment_id=name)
    first = (await client.get("/experiments?limit=2")).json()
    second = (await client.get("/experiments", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["experiment_id"] for item in first["items"] + second["items"]] == ["a", "b", "c"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "status=lost", "namespace=a/b", "cursor=%00", "colour=red"])
async def test_wrong_filters_are_refused(query: str, client: httpx.AsyncClient) -> None:
    found = problem(await client.get(f"/experiments?{query}"), 422)
    assert found["errors"][0]["field"] == query.partition("=")[0]


async def test_two_changes_decided_on_the_same_revision_cannot_both_win(client: httpx.AsyncClient) -> None:
    await create(client)
    bodies = [{"reason": "why", "description": text, "expected_revision": 1} for text in ("one", "two")]
    responses = await asyncio.gather(*(client.patch("/experiments/homepage", json=body) for body in bodies))
    assert sorted(response.status_code for response in responses) == [200, 409]
    final = (await client.get("/experiments/homepage")).json()
    assert final["revision"] == 2
    [won] = [response.json() for response in responses if response.status_code == 200]
    assert final == won


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**NEW, "arms": ["a", {"id": "b c"}]}, "arms[1].id"),
        ({**NEW, "arms": ["a"]}, "arms"),
        ({**NEW, "default_arm": "z"}, "default_arm"),
        ({**NEW, "holdout": 0.1}, "control_arm"),
        ({**NEW, "guardrails": {"min_weight": 0.5}}, "guardrails.min_weight"),
        ({**NEW, "policy": {"name": "magic"}}, "policy.name"),
        ({**NEW, "policy": {"name": "fixed", "params": {"weights": {"z": 1}}}}, "policy.params"),
        ({**NEW, "stopping": {"prob_best": None}}, "stopping"),
        ({**NEW, "context": {}}, "context"),
        ({**NEW, "description": "NUL \x00"}, "description"),
        ({**NEW, "experiment_id": "default.homepage"}, "experiment_id"),
        ([], "body"),
    ],
)
async def test_a_wrong_experiment_is_refused_with_the_field_and_nothing_is_created(
    body: Any, field: str, client: httpx.AsyncClient
) -> None:
    found = problem(await client.post("/experiments", json=body), 422)
    assert field in [error["field"] for error in found["errors"]]
    assert (await client.get("/experiments")).json()["items"] == []


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (Operation("PATCH", "/experiments/{id}", "admin", {**WHY}), 422),
        (Operation("PATCH", "/experiments/{id}", "admin", {"description": "no reason"}), 422),
        (Operation("PATCH", "/experiments/{id}", "admin", {**WHY, "default_arm": "z"}), 422),
        (Operation("PATCH", "/experiments/{id}", "admin", {**WHY, "description": "x", "expected_revision": 7}), 409),
        (Operation("POST", "/experiments/{id}/arms", "admin", {**WHY, "id": "a"}), 409),
        (Operation("POST", "/experiments/{id}/arms/z/retire", "admin", WHY), 404),
        (Operation("POST", "/experiments/{id}/arms/a/retire", "admin", WHY), 409),
        (Operation("POST", "/experiments/{id}/conclude", "admin", WHY), 409),
        (Operation("POST", "/experiments/{id}/conclude", "admin", {**WHY, "winner": "z"}), 422),
        (Operation("POST", "/experiments/{id}/pause", "admin", {"reason": ""}), 422),
        (Operation("DELETE", "/experiments/{id}?reason=", "admin"), 422),
        (Operation("DELETE", "/experiments/{id}?reason=%00", "admin"), 422),
        (Operation("DELETE", "/experiments/{id}?force=1", "admin"), 422),
    ],
    ids=str,
)
async def test_a_refused_change_changes_nothing(operation: Operation, status: int, client: httpx.AsyncClient) -> None:
    created = await create(client)
    problem(await call(client, operation, "homepage"), status)
    assert (await client.get("/experiments/homepage")).json() == created


@pytest.mark.parametrize("end", ["conclude", "archive"])
async def test_what_is_over_answers_409_to_every_change(end: str, client: httpx.AsyncClient) -> None:
    await create(client)
    if end == "conclude":
        await client.post("/experiments/homepage/conclude", json={**WHY, "winner": "b"})
    else:
        await client.delete("/experiments/homepage")
    for operation in ITEM_OPERATIONS:
        if operation.method in ("PATCH", "POST"):
            problem(await call(client, operation, "homepage"), 409)


@pytest.mark.parametrize("operation", [each for each in ITEM_OPERATIONS if each.method != "PUT"], ids=str)
async def test_an_unknown_experiment_is_404(operation: Operation, client: httpx.AsyncClient) -> None:
    assert "homepage" in problem(await call(client, operation, "homepage"), 404)["detail"]


async def test_another_method_is_405_with_all_that_are_allowed(client: httpx.AsyncClient) -> None:
    response = await client.post("/experiments/homepage")
    problem(response, 405)
    assert response.headers["allow"] == "DELETE, GET, PATCH, PUT"


async def test_while_postgres_is_away_edits_answer_503_and_selection_goes_on(
    start_service: Any,
) -> None:
    """Both replicas share Redis; the second one's Postgres is not there."""
    away = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
    async with (
        start_service() as client,
        start_service(postgres_dsn=away) as lonely,
    ):
        await create(client)
        response = await lonely.post("/experiments", json={**NEW, "experiment_id": "other"})
        problem(response, 503)
        assert int(response.headers["retry-after"]) > 0
        assert (await lonely.post("/select", json={"experiment_id": "homepage"})).status_code == 200


async def test_the_document_is_pleasant(client: httpx.AsyncClient) -> None:
    """Every management operation is summed up, documents its problems, and stands in the table of roles above."""
    document = (await client.get("/openapi.json")).json()
    operations = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "experiments" in operation["tags"]
    }
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for operation in operations.values():
        assert operation["summary"]
        assert re.fullmatch("[a-z_]+", operation["operationId"])
        assert operation["security"] == [{"bearer": []}, {"api_key": []}]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
        assert {"401", "403", "413", "422", "503"} <= operation["responses"].keys()
    listed = {(each.method, each.path.replace("{id}", "{experiment_id}")) for each in ITEM_OPERATIONS}
    collection = {("GET", "/experiments"), ("POST", "/experiments")}
    assert {(method, re.sub("/c/", "/{arm_id}/", path)) for method, path in listed} | collection == operations.keys()
