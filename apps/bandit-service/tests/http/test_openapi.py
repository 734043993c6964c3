"""One OpenAPI document describes every path, and the committed copy is the one the service gives out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from pydantic import SecretStr
from starlette.routing import Route

from bandit_core.rules.decoding import decode_item
from bandit_service.api.decisions.endpoints import ACTIVATE, SELECT, SELECT_BATCH
from bandit_service.api.rewards.endpoints import REWARD, REWARD_BATCH
from bandit_service.app import create_app
from bandit_service.http.fast_path import FastEndpoint
from bandit_service.http.problems import MEDIA_TYPE
from bandit_service.settings import Settings

if TYPE_CHECKING:
    from conftest import Api
    from fastapi import FastAPI

REGENERATE = "make schema"
PROBLEM = {"$ref": "#/components/schemas/ProblemDetails"}


@pytest.fixture(scope="module")
def app(signing_key: str) -> FastAPI:
    """An application that is not run."""
    return create_app(
        Settings(
            redis_url=SecretStr("redis://localhost"),
            postgres_dsn=SecretStr("postgresql://localhost"),
            signing_keys=SecretStr(signing_key),
        )
    )


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_the_committed_copy_is_what_the_service_gives_out(document: dict[str, Any]) -> None:
    committed = json.loads(files("bandit_service").joinpath("openapi.json").read_text())
    assert committed == document, f"it is out of date; write it anew: {REGENERATE}"


def test_every_path_is_described(app: FastAPI, document: dict[str, Any]) -> None:
    served = {
        (method, route.path) for route in app.routes if isinstance(route, Route) for method in route.methods or ()
    }
    own = {(method, path) for method, path in served if method != "HEAD" and not path.startswith("/docs")}
    described = {tuple(name.split(" ", 1)) for name, _ in operations(document)}
    # A protocol of its own; so is everything below /banditdb.
    assert own - {("GET", "/openapi.json"), ("POST", "/mcp")} <= described
    assert {"/select", "/reward/batch", "/experiments", "/experiments/{experiment_id}/posterior", "/metrics"} <= (
        document["paths"].keys()
    )


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        part: Any = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
        assert part


def test_every_operation_has_a_summary_a_tag_and_an_id_of_its_own(document: dict[str, Any]) -> None:
    found = dict(operations(document))
    known = {tag["name"] for tag in document["tags"]}
    for name, operation in found.items():
        assert operation["summary"], name
        assert set(operation["tags"]) <= known, name
    assert len({operation["operationId"] for operation in found.values()}) == len(found)


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and name != "GET /ready":
                assert response["content"] == {MEDIA_TYPE: {"schema": PROBLEM}}, (name, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_operation_that_looks_at_keys_says_so(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        is_open = name.split()[1] in ("/health", "/ready", "/metrics")
        assert ("security" in operation) is not is_open, name
        assert ({"401", "403"} <= operation["responses"].keys()) is not is_open, name


@pytest.mark.parametrize("endpoint", [SELECT, SELECT_BATCH, ACTIVATE, REWARD, REWARD_BATCH], ids=lambda each: each.path)
def test_the_examples_are_valid(endpoint: FastEndpoint) -> None:
    request = decode_item(endpoint.request, msgspec.json.encode(endpoint.request_example))
    if endpoint.item is not None:
        for raw in cast("Any", request).items:
            decode_item(endpoint.item, raw)
    if endpoint.response_example is not None:
        assert isinstance(msgspec.convert(endpoint.response_example, endpoint.response), endpoint.response)


async def test_the_page_needs_no_other_server(api: Api) -> None:
    page = (await api.http.get("/docs")).text
    addresses = re.findall(r"""(?:src|href|url)(?:=|: )["']([^"']+)""", page)
    assert len(addresses) == 4
    for address in addresses:
        assert "//" not in address
        answer = await api.http.get(f"/{address}")
        assert answer.status_code == 200, address
        assert b"@import" not in answer.content or not address.endswith(".css")


async def test_the_service_gives_it_out(api: Api, document: dict[str, Any]) -> None:
    assert (await api.http.get("/openapi.json")).json() == document
    assert "bandit-service" in (await api.http.get("/docs")).text


def test_every_field_of_requests_is_described(document: dict[str, Any]) -> None:
    """Results describe themselves in `report`."""
    schemas = document["components"]["schemas"]
    fields = [
        (f"{kind}.{name}", field)
        for kind, schema in schemas.items()
        if not kind.endswith(("Report", "Posterior", "Liveness", "Readiness"))
        for name, field in schema.get("properties", {}).items()
    ]
    parameters = [
        (f"{path}?{each['name']}", each)
        for path, operations in document["paths"].items()
        if path.startswith("/experiments")
        for operation in operations.values()
        for each in operation.get("parameters", [])
    ]
    assert [name for name, field in fields + parameters if not is_described(field, schemas)] == []


def is_described(field: dict[str, Any], schemas: dict[str, Any]) -> bool:
    kinds = [field, *field.get("anyOf", [])]
    kinds += [schemas[kind["$ref"].rpartition("/")[2]] for kind in kinds if "$ref" in kind]
    return any("description" in kind for kind in kinds)


def types_of(field: dict[str, Any]) -> list[str]:
    kind = field.get("type", [])
    return [kind] if isinstance(kind, str) else kind


def test_numbers_of_requests_have_bounds_and_options_a_default(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    requests = ("SelectRequest", "RewardRequest", "ActivateRequest", "NewExperiment", "Prior", "StoppingDefinition")
    for kind in (*requests, "GuardrailsDefinition", "RewardsDefinition", "FeaturesDefinition"):
        for name, field in schemas[kind]["properties"].items():
            is_bounded = {"maximum", "exclusiveMaximum"} & field.keys()
            assert is_bounded or not {"number", "integer"} & {*types_of(field)}, (kind, name)
            assert "default" in field or name in schemas[kind].get("required", []), (kind, name)
