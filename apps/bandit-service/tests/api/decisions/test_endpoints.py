"""The contract of POST /select, /select/batch and /activate: what is taken, what is refused, and how it is said."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from bandit_core.rules.decisions import DecisionClaims
from bandit_service.domain.decision_id import DecisionIds

if TYPE_CHECKING:
    from conftest import Api


def named(problem: dict[str, Any]) -> list[str]:
    """Return the fields that a problem names."""
    return [error["field"] for error in problem["errors"]]


async def test_a_selection_says_what_was_chosen_how_likely_it_was_and_that_it_is_recorded(api: Api) -> None:
    live = await api.create("a", "b")
    decision = await live.select()
    assert decision.pop("decision_id").startswith("d1.")
    assert decision.pop("arm") == ["a", "b"][decision.pop("arm_index")]
    assert decision == {
        "experiment_id": live.id,
        "propensity": 0.5,
        "weights_version": 1,
        "stratum": "bandit",
        "recorded": True,
    }


@pytest.mark.parametrize("field", ["K", "contexts", "unit", "Experiment_id"])
async def test_fields_that_are_not_known_are_refused_by_name(api: Api, field: str) -> None:
    """Among them those that come later: a slate, a context and eligible arms are not silently ignored."""
    problem = await api.post("/select", {"experiment_id": "homepage", field: 2}, 422)
    assert named(problem) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "experiment_id"),
        ({"experiment_id": 5}, "experiment_id"),
        ({"experiment_id": ""}, "experiment_id"),
        ({"experiment_id": "no spaces"}, "experiment_id"),
        ({"experiment_id": "homepage\n"}, "experiment_id"),
        ({"experiment_id": "x" * 129}, "experiment_id"),
        ({"experiment_id": "homepage", "unit_id": ""}, "unit_id"),
        ({"experiment_id": "homepage", "unit_id": "x" * 257}, "unit_id"),
        ({"experiment_id": "homepage", "unit_id": 17}, "unit_id"),
        ({"experiment_id": "homepage", "decision_id": "a|b"}, "decision_id"),
        ({"experiment_id": "homepage", "decision_id": "mine\n"}, "decision_id"),
        ({"experiment_id": "homepage", "defer_activation": "yes"}, "defer_activation"),
        ({"experiment_id": "homepage", "defer_activation": None}, "defer_activation"),
        ([], "body"),
        (None, "body"),
        ("homepage", "body"),
    ],
)
async def test_a_wrong_field_is_named(api: Api, body: object, field: str) -> None:
    assert named(await api.post("/select", body, 422)) == [field]


async def test_an_unknown_experiment_is_not_found(api: Api) -> None:
    problem = await api.post("/select", {"experiment_id": "nowhere"}, 404)
    assert problem["detail"] == "there is no experiment 'nowhere'"


async def test_ids_of_ones_own_must_not_begin_like_the_services(api: Api) -> None:
    live = await api.create()
    assert named(await live.select(422, decision_id="d1.abc")) == ["decision_id"]


@pytest.mark.parametrize("fields", [{"assignment": "sticky"}, {"holdout": 0.1, "control_arm": "a"}])
async def test_assigning_units_needs_a_unit(api: Api, fields: dict[str, Any]) -> None:
    live = await api.create(**fields)
    assert named(await live.select(422)) == ["unit_id"]
    await live.select(unit_id="visitor-17")


async def test_an_archived_experiment_serves_nothing(api: Api) -> None:
    live = await api.create()
    await live.archive()
    await live.select(409)


async def test_a_batch_answers_each_item_in_its_place(api: Api) -> None:
    live = await api.create()
    items = [
        {"experiment_id": live.id},
        {"experiment_id": "nowhere"},
        {"experiment_id": live.id, "k": 21},
        "not an object",
        {"experiment_id": live.id, "unit_id": "visitor-17"},
    ]
    answered = (await api.post("/select/batch", {"items": items}))["items"]
    assert [item["status"] for item in answered] == [200, 404, 422, 422, 200]
    assert [item["problem"]["status"] for item in answered[1:4]] == [404, 422, 422]
    assert named(answered[2]["problem"]) == ["k"]
    assert all(answered[at]["result"]["recorded"] for at in (0, 4))
    assert sum(arm["decisions"] for arm in (await live.read("posterior"))["arms"]) == 2


async def test_a_batch_takes_a_thousand_items_and_not_one_more(api: Api) -> None:
    live = await api.create()
    decisions = await live.select_many(1_000)
    assert len({decision["decision_id"] for decision in decisions}) == 1_000
    item = {"experiment_id": live.id}
    assert named(await api.post("/select/batch", {"items": [item] * 1_001}, 422)) == ["items"]
    assert sum(arm["decisions"] for arm in (await live.read("posterior"))["arms"]) == 1_000


@pytest.mark.parametrize("body", [{"items": []}, {"items": {}}, {"items": None}])
async def test_a_batch_without_items_is_refused(api: Api, body: object) -> None:
    assert named(await api.post("/select/batch", body, 422)) == ["items"]


async def test_a_batch_may_span_experiments(api: Api) -> None:
    first, second = await api.create(), await api.create()
    items = [{"experiment_id": live.id} for live in (first, second, first)]
    answered = (await api.post("/select/batch", {"items": items}))["items"]
    assert [item["result"]["experiment_id"] for item in answered] == [first.id, second.id, first.id]


async def test_items_of_a_batch_that_name_one_decision_are_one_decision(api: Api) -> None:
    live = await api.create()
    decisions = await live.select_many(50, decision_id="mine")
    assert len({(decision["arm"], decision["propensity"]) for decision in decisions}) == 1
    assert sum(arm["decisions"] for arm in (await live.read("posterior"))["arms"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "decision_id"),
        ({"decision_id": "not one of ours"}, "decision_id"),
        ({"decision_id": "mine"}, "experiment_id"),
        ({"decision_id": "mine", "experiment_id": "homepage", "reward": 1}, "reward"),
    ],
)
async def test_an_activation_names_what_it_lacks(api: Api, body: object, field: str) -> None:
    assert named(await api.post("/activate", body, 422)) == [field]


async def test_an_activation_needs_a_decision_that_exists(api: Api) -> None:
    live = await api.create()
    await api.post("/activate", {"decision_id": "d1.AAAA"}, 404)
    await api.post("/activate", {"decision_id": "unheard-of", "experiment_id": live.id}, 404)


async def test_a_decision_id_is_bound_to_its_experiment(api: Api) -> None:
    live, other = await api.create(), await api.create()
    decision = await live.select(defer_activation=True)
    body = {"decision_id": decision["decision_id"], "experiment_id": other.id}
    assert named(await api.post("/activate", body, 422)) == ["experiment_id"]


async def test_an_id_signed_by_another_installation_is_unknown(api: Api) -> None:
    live = await api.create()
    foreign = DecisionIds({1: bytes(range(32))}, secrets.token_bytes)
    issued = foreign.issue(DecisionClaims(live.id, 0, 0.5, 1))
    await live.reward({"decision_id": issued}, 1, 404)
