"""The JSON schema of an experiment's file, and plain schemas of structs. `make schema` writes the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from bandit_core.rules.experiment_requests import NewExperiment
from bandit_core.rules.names import plain_pattern

_REF = "#/$defs/{name}"


def experiment_schema() -> dict[str, Any]:
    """Return the schema of an experiment's file in its canonical form, with every part in its place.

    There is no `anyOf`, and no open map but metadata, outcomes and weights by arm, so that it can become the schema of
    a Kubernetes resource.
    """
    _, components = msgspec.json.schema_components([NewExperiment], ref_template=_REF)
    parts = {_REF.format(name=name): each for name, each in components.items()}
    whole: dict[str, Any] = plain(_inlined(components["NewExperiment"], parts))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "title": "Experiment"}


def plain(value: Any) -> Any:  # noqa: ANN401 (a part of a schema)
    """Return a part of a schema with `null` among its types, no `anyOf`, and common patterns."""
    match value:
        case {"anyOf": [{"type": str(kind)} as known, {"type": "null"}], **others}:
            return plain({**known, **others, "type": [kind, "null"]} | _nullable_enum(known))
        case {"pattern": str(pattern), **others}:
            return plain(others) | {"pattern": plain_pattern(pattern)}
        case {"enum": [str(), *_], **others} if "type" not in others:
            return plain({"type": "string", **value})
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case _:
            return value


def _nullable_enum(known: Mapping[str, Any]) -> dict[str, Any]:
    return {"enum": [*known["enum"], None]} if "enum" in known else {}


def _inlined(value: Any, parts: Mapping[str, Any]) -> Any:  # noqa: ANN401 (a part of a schema)
    match value:
        case {"$ref": str(name), **others}:
            return _inlined({**parts[name], **others}, parts)
        case dict():
            return {name: _inlined(each, parts) for name, each in value.items()}
        case list():
            return [_inlined(each, parts) for each in value]
        case _:
            return value


if __name__ == "__main__":
    print(json.dumps(experiment_schema(), indent=2))  # noqa: T201 (what the command is for)
