"""What is wrong with a request is said with the field, the kind of value and what is accepted, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from bandit_core.rules.decoding import decode_item
from bandit_core.rules.problems import Invalid
from bandit_core.rules.requests import RewardRequest, SelectRequest

if TYPE_CHECKING:
    from conftest import Api

SELECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"experiment_id": 5}, "experiment_id: must be text, not a number; put it in quotes"),
    ({"experiment_id": "a b"}, "experiment_id: must be 1 to 128 letters, digits, '-', '_' or '.', and no '.' at"),
    ({}, "experiment_id: is required"),
    ({"unit_id": ""}, "unit_id: must not be empty"),
    ({"unit_id": True}, "unit_id: must be text, not a boolean; put it in quotes"),
    ({"k": 99}, "k: must be at most 20"),
    ({"k": "2"}, "k: must be an integer, not text"),
    ({"arms": ["a"]}, "arms: unknown field"),
    ({"eligible_arms": ["a", "b c"]}, "eligible_arms[1]: must be 1 to 128 letters, digits or any of"),
    ({"context": {"age": 41, "plan": None}}, "context.plan: must be true or false or a number or text, not null"),
    ({"context": {"age": 41, "plan": ["x"]}}, "context.plan: must be true or false or a number or text, not an array"),
    ({"context": {"age": 41, "a b": 1}}, "context.a b: must be 1 to 64 letters, digits"),
    ({"context": [1, "x"]}, "context[1]: must be true or false or a number, not text"),
    ({"context": 7}, "context: must be an object or an array, not a number"),
]
REWARDS: list[tuple[dict[str, Any], str]] = [
    ({"reward": "1"}, "reward: must be a number, not text"),
    ({"reward": 1e13}, "reward: must be at most 1000000000000"),
    ({"outcome": {"stars": [1]}}, "outcome.stars: must be true or false or a number or text, not an array"),
]
EXPERIMENTS: list[tuple[dict[str, Any], str]] = [
    ({"experiment_id": 20261128}, "experiment_id: must be text, not a number; put it in quotes"),
    ({"experiment_id": "a/b"}, "experiment_id: must be 1 to 128 letters, digits, '-', '_' or '.'"),
    ({"arms": [True, False]}, "arms[0]: must be text, or an object with an id, not a boolean; put it in quotes"),
    ({"arms": [1, 2]}, "arms[0]: must be text, or an object with an id, not a number; put it in quotes"),
    ({"arms": "a,b"}, "arms: must be an array, not text"),
    ({"arms": ["a"]}, "arms: must have at least 2 entries"),
    ({"arms": ["a", "b c"]}, "arms[1].id: must be 1 to 128 letters, digits or any of"),
    ({"policy": 7}, "policy: must be an object, not a number"),
    ({"policy": "tompson"}, "policy.name: unknown policy; known are"),
    ({"holdout": 2}, "holdout: must be less than 1"),
    ({"guardrails": {"preset": "wild"}}, "guardrails.preset: must be 'explore', 'neutral' or 'safe'"),
    ({"stoping": {}}, "stoping: unknown field"),
]


@pytest.mark.parametrize(("fields", "sentence"), SELECTIONS)
def test_a_selection(fields: dict[str, Any], sentence: str) -> None:
    body = ({"experiment_id": "homepage"} if fields else {}) | fields
    with pytest.raises(Invalid) as refused:
        decode_item(SelectRequest, msgspec.json.encode(body))
    assert refused.value.detail.startswith(sentence)


@pytest.mark.parametrize(("fields", "sentence"), REWARDS)
def test_a_reward(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_item(RewardRequest, msgspec.json.encode(fields))
    assert refused.value.detail.startswith(sentence)


@pytest.mark.parametrize(("fields", "sentence"), EXPERIMENTS)
async def test_an_experiment(api: Api, fields: dict[str, Any], sentence: str) -> None:
    body = {"experiment_id": "homepage", "arms": ["a", "b"]} | fields
    assert (await api.post("/experiments", body, 422))["detail"].startswith(sentence)


@pytest.mark.parametrize("body", [b"[]", b'"homepage"', b"null", b"7"])
async def test_a_body_that_is_no_object(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.http.post("/experiments", content=body, headers=headers)
    assert "must be a JSON object, sent with Content-Type: application/json" in answer.json()["detail"]


async def test_a_policy_may_be_its_name(api: Api) -> None:
    live = await api.create(policy="top_two_thompson")
    assert (await api.get(f"/experiments/{live.id}"))["policy"]["name"] == "top_two_thompson"
