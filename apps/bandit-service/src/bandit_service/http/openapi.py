"""One OpenAPI document: FastAPI's own, and the fast_path endpoints added from their msgspec types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bandit_core.rules.requests import MAX_ITEMS
from bandit_service.http.fast_path import FastEndpoint
from bandit_service.http.problems import component_schemas, responses

_REF = "#/components/schemas/{name}"


def document(app: FastAPI, fast_path: Sequence[FastEndpoint]) -> dict[str, Any]:
    """Return the whole document."""
    openapi = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    kinds = {kind for endpoint in fast_path for kind in (endpoint.item or endpoint.request, endpoint.response)}
    _, components = msgspec.json.schema_components(sorted(kinds, key=lambda kind: kind.__name__), ref_template=_REF)
    openapi["components"]["schemas"] |= components | component_schemas()
    openapi["paths"] = {endpoint.path: {"post": _operation(endpoint)} for endpoint in fast_path} | openapi["paths"]
    return openapi


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
        "properties": {"items": {"type": "array", "items": {}, "minItems": 1, "maxItems": MAX_ITEMS}},
        "required": ["items"],
        "additionalProperties": False,
        "description": f"Each item as in {endpoint.item.__name__}.",
    }


def _batch_answer(result: dict[str, Any]) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "status": {"type": "integer"},
            "result": result,
            "problem": {"$ref": _REF.format(name="ProblemDetails")},
        },
        "required": ["status"],
    }
    return {"type": "object", "properties": {"items": {"type": "array", "items": item}}, "required": ["items"]}


def _reference(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}
