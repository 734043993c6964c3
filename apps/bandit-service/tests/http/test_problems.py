"""Every error looks the same: RFC 9457 problem details, the framework's own errors included."""

from typing import Annotated, Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bandit_core.rules.decoding import LONGEST_PATH
from bandit_core.rules.problems import (
    Conflict,
    Encoded,
    Expired,
    FieldError,
    Forbidden,
    HeadTooLarge,
    Invalid,
    NotFound,
    Problem,
    ProblemDetails,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from bandit_service.http import problems
from bandit_service.http.problems import problem_response, responses
from bandit_service.ledger.errors import MissingSchemaError, PostgresUnavailableError
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError

KINDS = {
    Unreadable: (400, "bad-request"),
    Unauthorized: (401, "unauthorized"),
    Forbidden: (403, "forbidden"),
    NotFound: (404, "not-found"),
    TooSlow: (408, "request-timeout"),
    Conflict: (409, "conflict"),
    Expired: (410, "expired"),
    TooLarge: (413, "too-large"),
    Encoded: (415, "unsupported-media-type"),
    Invalid: (422, "invalid"),
    TooMany: (429, "too-many-requests"),
    HeadTooLarge: (431, "request-header-fields-too-large"),
    Unavailable: (503, "unavailable"),
}


class Arm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    arms: list[Arm]
    share: float = 0.5

    @field_validator("share")
    @classmethod
    def _check_share(cls, share: float) -> float:
        if share > 1:
            raise ValueError("must be at most 1")
        return share


class RaisingApp(FastAPI):
    """An application whose endpoint /raise fails with `error`."""

    error: Exception = NotFound("nothing here")


@pytest.fixture
def app() -> RaisingApp:
    app = RaisingApp()
    problems.install(app)

    @app.post("/echo")
    async def echo(body: Body, level: Annotated[int, Query(ge=0)] = 0) -> Body:
        assert level >= 0
        return body

    @app.delete("/echo", responses=responses(404))
    async def delete() -> None: ...

    @app.get("/raise")
    async def fail() -> None:
        raise app.error

    return app


@pytest.fixture
def client(app: RaisingApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def details(response: httpx.Response) -> dict[str, Any]:
    """The problem in a response that must be one."""
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    msgspec.convert(found, ProblemDetails)
    assert found["status"] == response.status_code
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_each_problem_has_its_status_and_type(
    kind: type[Problem], app: RaisingApp, client: httpx.AsyncClient
) -> None:
    status, slug = KINDS[kind]
    app.error = kind("what happened")
    response = await client.get("/raise")
    assert response.status_code == status
    assert details(response)["type"] == f"urn:bandit:problem:{slug}"
    assert details(response)["detail"] == "what happened"


def test_every_kind_of_problem_is_tested() -> None:
    assert set(Problem.__subclasses__()) == set(KINDS)


async def test_retry_after_is_a_header(app: RaisingApp, client: httpx.AsyncClient) -> None:
    app.error = Unavailable("away", retry_after=7)
    assert (await client.get("/raise")).headers["retry-after"] == "7"


async def test_unauthorized_says_how_to_authenticate(app: RaisingApp, client: httpx.AsyncClient) -> None:
    app.error = Unauthorized("who are you")
    assert (await client.get("/raise")).headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "error", [PostgresUnavailableError("pg.internal:5432"), StoreUnavailableError("ConnectionError"), StoreFullError()]
)
async def test_an_outage_is_503_and_tells_nothing_of_the_inside(
    error: Exception, app: RaisingApp, client: httpx.AsyncClient
) -> None:
    app.error = error
    response = await client.get("/raise")
    assert details(response)["status"] == 503
    assert int(response.headers["retry-after"]) > 0
    assert "internal" not in response.text


async def test_a_missing_schema_says_what_to_do(app: RaisingApp, client: httpx.AsyncClient) -> None:
    app.error = MissingSchemaError("run `bandit-service migrate`")
    assert "migrate" in details(await client.get("/raise"))["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"arms": [{"id": ""}]}, "arms[0].id"),
        ({"arms": [{"id": "a"}, {"id": "b", "colour": 1}]}, "arms[1].colour"),
        ({"arms": [{}]}, "arms[0].id"),
        ({}, "arms"),
        ({"arms": [], "share": 2}, "share"),
        ([], "body"),
        (None, "body"),
    ],
)
async def test_invalid_bodies_name_the_field(body: Any, field: str, client: httpx.AsyncClient) -> None:
    found = details(await client.post("/echo", json=body))
    assert found["status"] == 422
    assert [error["field"] for error in found["errors"]] == [field]
    assert found["detail"].startswith(field)


async def test_messages_are_sentences_of_ours(client: httpx.AsyncClient) -> None:
    messages = {}
    for body in ({}, {"arms": [], "x": 1}, {"arms": [], "share": 2}):
        [error] = details(await client.post("/echo", json=body))["errors"]
        messages[error["field"]] = error["message"]
    assert messages == {"arms": "is required", "x": "unknown field", "share": "must be at most 1"}


async def test_an_invalid_parameter_is_named(client: httpx.AsyncClient) -> None:
    found = details(await client.post("/echo?level=-1", json={"arms": []}))
    assert found["errors"][0]["field"] == "level"


async def test_broken_json_is_the_body_s_fault(client: httpx.AsyncClient) -> None:
    response = await client.post("/echo", content='{"arms": [', headers={"content-type": "application/json"})
    assert details(response)["errors"][0]["field"] == "body"
    assert "not valid JSON" in details(response)["detail"]


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"arms": "\xff"}', b"1" * 5_000])
async def test_a_body_that_cannot_be_read_is_400(content: bytes, client: httpx.AsyncClient) -> None:
    response = await client.post("/echo", content=content, headers={"content-type": "application/json"})
    assert details(response)["status"] == 400


async def test_many_errors_and_long_names_stay_readable(client: httpx.AsyncClient) -> None:
    body = {"arms": [], **{f"{'x' * 1_000}{number}": 1 for number in range(100)}}
    found = details(await client.post("/echo", json=body))
    assert len(found["errors"]) == problems.MOST_FIELD_ERRORS
    assert max(len(error["field"]) for error in found["errors"]) == LONGEST_PATH
    assert "99 more" in found["detail"]


async def test_what_was_sent_is_not_sent_back(client: httpx.AsyncClient) -> None:
    response = await client.post("/echo", json={"arms": "hunter2"})
    assert "hunter2" not in response.text


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    assert details(await client.get("/nowhere"))["status"] == 404


async def test_a_wrong_method_is_a_problem_that_lists_all_allowed_ones(client: httpx.AsyncClient) -> None:
    response = await client.put("/echo")
    assert details(response)["status"] == 405
    assert response.headers["allow"] == "DELETE, POST"


async def test_text_that_utf8_cannot_hold_does_not_break_the_answer(app: RaisingApp, client: httpx.AsyncClient) -> None:
    app.error = NotFound("half a \ud800 pair")
    assert details(await client.get("/raise"))["detail"] == "half a \ud800 pair"


def test_one_wrong_field_is_named_in_text_and_data() -> None:
    problem = Invalid.field("unit_id", "needed")
    assert problem.detail == "unit_id: needed"
    assert problem.details.errors == (FieldError("unit_id", "needed"),)


def test_a_problem_can_be_answered_without_the_framework() -> None:
    response = problem_response(Conflict("taken", errors=[FieldError(field="id", message="taken")]))
    assert response.status_code == 409
    assert response.media_type == "application/problem+json"


def test_documented_problems_are_problem_json_and_their_schema_resolves(app: RaisingApp) -> None:
    document = app.openapi()
    documented = document["paths"]["/echo"]["delete"]["responses"]["404"]
    assert list(documented["content"]) == ["application/problem+json"]
    name = documented["content"]["application/problem+json"]["schema"]["$ref"].rpartition("/")[2]
    schemas = problems.component_schemas()
    assert name in schemas
    assert "#/components/schemas/FieldError" in str(schemas[name])
    assert "FieldError" in schemas


@pytest.mark.parametrize("status", [400, *(status for status, _ in KINDS.values())])
def test_every_status_can_be_documented(status: int) -> None:
    [(key, documented)] = responses(status).items()
    assert key == status
    assert documented["description"]
    assert ("Retry-After" in documented.get("headers", {})) == (status in (429, 503))
