"""The schema of an experiment's file is derived from the definition, and fit for a Kubernetes resource."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bandit_core.rules.experiment_requests import NewExperiment, normalised, read
from bandit_core.rules.json_schema import experiment_schema
from bandit_core.rules.problems import Invalid

COMMITTED = Path(__file__).parents[4] / "docs" / "experiment.schema.json"
OPEN = {"metadata", "outcomes", "weights"}
SMALLEST: dict[str, Any] = {"experiment_id": "homepage", "arms": ["a", "b"]}


def parts(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield name, schema
        for key, each in schema.items():
            yield from parts(each, key)
    elif isinstance(schema, list):
        for each in schema:
            yield from parts(each, name)


def test_the_committed_schema_is_current() -> None:
    assert json.loads(COMMITTED.read_text()) == experiment_schema(), "write it anew: make schema"


def test_it_is_structural() -> None:
    for name, part in parts(experiment_schema()):
        assert not part.keys() & {"anyOf", "oneOf", "allOf", "$ref"}, name
        assert part.get("type") != "object" or name in OPEN or part.get("additionalProperties") is False, name


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"policy": "uniform"},
        {"policy": {"name": "epsilon_greedy", "params": {"epsilon": 0.1}}},
        {"stopping": {"prob_best": None, "max_duration": 60}},
        {"reward_model": {"type": "map", "outcomes": {"click": 1, "seen": None}}},
        {"holdout": 0.1, "control_arm": "a", "metadata": {"team": "search"}},
        {"policy": "linucb", "context": {"features": ["age"]}},
    ],
)
def test_what_is_read_agrees_with_the_schema(fields: dict[str, Any]) -> None:
    read(NewExperiment, SMALLEST | fields)
    Draft202012Validator(experiment_schema()).validate(normalised(SMALLEST | fields))


@pytest.mark.parametrize(
    "fields",
    [{"k": 2}, {"holdout": 1}, {"policy": 7}, {"guardrails": {"preset": "wild"}}, {"arms": ["a"]}, {"arms": 1}],
)
def test_what_the_schema_refuses_is_refused(fields: dict[str, Any]) -> None:
    assert not Draft202012Validator(experiment_schema()).is_valid(normalised(SMALLEST | fields))
    with pytest.raises(Invalid):
        read(NewExperiment, SMALLEST | fields)
