"""One OpenAPI document: FastAPI's own, and the fast_path endpoints added from their msgspec types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bandit_core.rules.json_schema import plain
from bandit_core.rules.requests import MAX_ITEMS
from bandit_service.http import structs
from bandit_service.http.fast_path import FastEndpoint
from bandit_service.http.problems import component_schemas, responses

_REF = "#/components/schemas/{name}"


def document(
    app: FastAPI, fast_path: Sequence[FastEndpoint], kinds_of_routes: Sequence[type[msgspec.Struct]] = ()
) -> dict[str, Any]:
    """Return the whole document; `kinds_of_routes` are bodies and answers of other routes."""
    openapi = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    kinds = {*kinds_of_routes} | {
        kind for endpoint in fast_path for kind in (endpoint.item or endpoint.request, endpoint.response)
    }
    _, components = msgspec.json.schema_components(sorted(kinds, key=lambda kind: kind.__name__), ref_template=_REF)
    openapi["components"]["schemas"] |= plain(_with_short_forms(components | component_schemas()))
    openapi["paths"] = {endpoint.path: {"post": _operation(endpoint)} for endpoint in fast_path} | openapi["paths"]
    whole: dict[str, Any] = _referring(openapi)
    return whole


def _with_short_forms(components: dict[str, Any]) -> dict[str, Any]:
    """Document that an arm may be its id alone, and a policy its name."""
    for kind, field, part, short in (
        ("NewExperiment", "arms", "Arm", "id"),
        ("NewExperiment", "policy", "PolicyDefinition", "name"),
        ("ExperimentChange", "policy", "PolicyDefinition", "name"),
    ):
        if kind in components:
            schema = components[kind]["properties"][field]
            place = schema.get("items", schema)
            place["anyOf"] = [components[part]["properties"][short], {"$ref": place.pop("$ref")}]
    return components


def _referring(value: Any) -> Any:  # noqa: ANN401 (a part of the document)
    """Return a part of the document with references to structs in place of their names."""
    match value:
        case {structs.PLACEHOLDER: name}:
            return {"$ref": _REF.format(name=name)}
        case dict():
            return {key: _referring(each) for key, each in value.items()}
        case list():
            return [_referring(each) for each in value]
        case _:
            return value


def _operation(endpoint: FastEndpoint) -> dict[str, Any]:
    answer = _reference(endpoint.response)
    if endpoint.item is not None:
        answer = _batch_answer(answer)
    content: dict[str, Any] = {"schema": answer}
    if endpoint.response_example is not None:
        content["example"] = endpoint.response_example
    return {
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": endpoint.description,
        "operationId": endpoint.path.strip("/").replace("/", "_"),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body(endpoint), "example": endpoint.request_example}},
        },
        "responses": {"200": {"description": "Done", "content": {"application/json": content}}}
        | {str(status): response for status, response in responses(*endpoint.problems).items()},
        "security": [{"bearer": []}, {"api_key": []}],
    }


def _body(endpoint: FastEndpoint) -> dict[str, Any]:
    if endpoint.item is None:
        return _reference(endpoint.request)
    # The items themselves may be anything: a wrong one is answered in its own place.
    return {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": {},
                "minItems": 1,
                "maxItems": MAX_ITEMS,
                "description": f"1 to {MAX_ITEMS:,} requests, each as in {endpoint.item.__name__}",
            }
        },
        "required": ["items"],
        "additionalProperties": False,
        "description": f"Each item as in {endpoint.item.__name__}.",
    }


def _batch_answer(result: dict[str, Any]) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "status": {"type": "integer", "description": "The HTTP status that this item alone would have got"},
            "result": result | {"description": "The answer, if there is one"},
            "problem": {"$ref": _REF.format(name="ProblemDetails"), "description": "The error, if there is one"},
        },
        "required": ["status"],
    }
    answers = {"type": "array", "items": item, "description": "One answer for each item, in their order"}
    return {"type": "object", "properties": {"items": answers}, "required": ["items"]}


def _reference(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}
