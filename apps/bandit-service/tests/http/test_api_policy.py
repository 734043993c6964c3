"""Changes of the API are additive: what a release offers, later versions offer too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

# Copied from the service at each release; there is none yet.
RELEASED = Path(__file__).parent / "released_openapi.json"


def removals(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield what clients of one document miss in another: paths, fields, values of answers, optional requests."""
    for path, operations in before["paths"].items():
        for method in operations:
            if method not in after["paths"].get(path, {}):
                yield f"{method.upper()} {path}"
    old, new = before["components"]["schemas"], after["components"]["schemas"]
    for kind, schema in old.items():
        if kind not in new:
            yield kind
            continue
        yield from (f"{kind}.{name}" for name in schema.get("properties", {}) if name not in new[kind]["properties"])
        if schema.get("additionalProperties") is False:
            needed = set(new[kind].get("required", [])) - set(schema.get("required", []))
            yield from (f"{kind}.{name} is required" for name in sorted(needed))
        for name, field in schema.get("properties", {}).items():
            kept = new[kind]["properties"].get(name, {}).get("enum", field.get("enum", []))
            yield from (f"{kind}.{name}={value}" for value in field.get("enum", []) if value not in kept)


def document(*, paths: tuple[str, ...] = ("/select",), **fields: Any) -> dict[str, Any]:
    schema = {"properties": {"arm": {}, **fields}, "required": ["arm"], "additionalProperties": False}
    return {"paths": {path: {"post": {}} for path in paths}, "components": {"schemas": {"Request": schema}}}


def test_additions_are_no_removals() -> None:
    more = document(paths=("/select", "/rank"), k={}, policy={"enum": ["a", "b"]})
    assert list(removals(document(policy={"enum": ["a"]}), more)) == []


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        (document(paths=("/select", "/rank")), document(), ["POST /rank"]),
        (document(k={}), document(), ["Request.k"]),
        (document(policy={"enum": ["a", "b"]}), document(policy={"enum": ["a"]}), ["Request.policy=b"]),
    ],
)
def test_what_is_gone_is_named(before: dict[str, Any], after: dict[str, Any], missing: list[str]) -> None:
    assert list(removals(before, after)) == missing


def test_a_new_requirement_is_a_removal() -> None:
    stricter = document(k={})
    stricter["components"]["schemas"]["Request"]["required"].append("k")
    assert list(removals(document(k={}), stricter)) == ["Request.k is required"]


def test_nothing_of_the_last_release_is_gone() -> None:
    """Before the first release the document is compared with itself."""
    current = files("bandit_service").joinpath("openapi.json").read_text()
    released = RELEASED.read_text() if RELEASED.exists() else current
    assert list(removals(json.loads(released), json.loads(current))) == []
