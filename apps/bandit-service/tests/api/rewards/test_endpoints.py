"""The contract of POST /reward and /reward/batch: what is taken, what is refused, and how it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Api


def named(problem: dict[str, Any]) -> list[str]:
    """Return the fields that a problem names."""
    return [error["field"] for error in problem["errors"]]


async def test_an_answer_says_what_was_counted(api: Api) -> None:
    live = await api.create()
    decision = await live.select()
    assert await live.reward(decision, 0.25) == {
        "status": "applied",
        "experiment_id": live.id,
        "arm": decision["arm"],
        "decision_id": decision["decision_id"],
        "reward": 0.25,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reward"),
        ({"decision_id": "d1.A"}, "reward"),
        ({"decision_id": "d1.A", "reward": 1, "outcome": "click"}, "reward"),
        ({"decision_id": "d1.A", "reward": True}, "reward"),
        ({"decision_id": "d1.A", "reward": "1"}, "reward"),
        ({"decision_id": "d1.A\n", "reward": 1}, "decision_id"),
        ({"decision_id": "x" * 801, "reward": 1}, "decision_id"),
        ({"decision_id": "d1.A", "reward": 1, "reward_id": "r-1"}, "reward_id"),
        ({"decision_id": "mine", "reward": 1}, "experiment_id"),
        ({"arm": "a", "reward": 1}, "experiment_id"),
        ({"experiment_id": "homepage", "reward": 1}, "arm"),
        ({"experiment_id": "homepage", "arm": "a\n", "reward": 1}, "arm"),
        ({"experiment_id": "homepage", "arm": "a", "reward": 1, "reward_id": "a/b"}, "reward_id"),
        ({"decision_id": "d1.A", "reward": 1, "value": 2}, "value"),
        ({"decision_id": "d1.A", "outcome": ["click"]}, "outcome"),
    ],
)
async def test_a_wrong_field_is_named(api: Api, body: object, field: str) -> None:
    assert named(await api.post("/reward", body, 422)) == [field]


@pytest.mark.parametrize("reward", [1.000001, -0.1])
async def test_a_reward_lies_between_0_and_1(api: Api, reward: float) -> None:
    live = await api.create()
    assert named(await live.reward(await live.select(), reward, 422)) == ["reward"]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 400])
async def test_numbers_that_are_none_are_refused(api: Api, number: bytes) -> None:
    await api.post("/reward", b'{"decision_id": "d1.A", "reward": ' + number + b"}", 422)


async def test_unknown_things_are_not_found_or_named(api: Api) -> None:
    live = await api.create()
    await api.post("/reward", {"decision_id": "d1.AAAA", "reward": 1}, 404)
    await api.post("/reward", {"decision_id": "mine", "experiment_id": live.id, "reward": 1}, 404)
    await api.post("/reward", {"experiment_id": "nowhere", "arm": "a", "reward": 1}, 404)
    assert named(await live.report("nobody", 1, 422)) == ["arm"]


async def test_a_reward_for_the_decision_of_another_experiment_is_refused(api: Api) -> None:
    live, other = await api.create(), await api.create()
    decision = await live.select()
    assert named(await live.reward(decision, 1, 422, experiment_id=other.id)) == ["experiment_id"]
    assert (await live.reward(decision, 1, experiment_id=live.id))["status"] == "applied"


async def test_a_reward_that_names_another_arm_than_was_decided_counts_nowhere(api: Api) -> None:
    live = await api.create()
    for decision in (await live.select(), await live.select(decision_id="mine")):
        served, other = decision["arm"], "ab".replace(decision["arm"], "")
        refused = await live.reward(decision, 1, 409, experiment_id=live.id, arm=other)
        assert refused["detail"] == f"the decision was for arm {served!r}, not {other!r}; nothing was counted"
        assert (await live.reward(decision, 1, experiment_id=live.id, arm=served))["status"] == "applied"
    added = [await live.added(arm) for arm in "ab"]
    assert tuple(map(sum, zip(*added, strict=True))) == (2_000_000, 0)


async def test_a_batch_answers_each_item_in_its_place(api: Api) -> None:
    live = await api.create()
    first, second = await live.select_many(2)
    items = [
        {"decision_id": first["decision_id"], "reward": 1},
        {"decision_id": first["decision_id"], "reward": 0},
        {"decision_id": "d1.AAAA", "reward": 1},
        {"decision_id": second["decision_id"], "reward": 7},
        17,
        {"decision_id": second["decision_id"], "reward": 0},
        {"experiment_id": live.id, "arm": "a", "reward": 0.5},
    ]
    answered = (await api.post("/reward/batch", {"items": items}))["items"]
    assert [item["status"] for item in answered] == [200, 200, 404, 422, 422, 200, 200]
    assert [item["result"]["status"] for item in answered if "result" in item] == [
        "applied",
        "duplicate",
        "applied",
        "applied",
    ]
    assert named(answered[3]["problem"]) == ["reward"]
    added = [await live.added(arm) for arm in "ab"]
    assert tuple(map(sum, zip(*added, strict=True))) == (1_500_000, 1_500_000)


async def test_a_thousand_rewards_for_one_decision_count_once(api: Api) -> None:
    live = await api.create()
    decision = await live.select()
    item = {"decision_id": decision["decision_id"], "reward": 1}
    answered = (await api.post("/reward/batch", {"items": [item] * 1_000}))["items"]
    assert [each["result"]["status"] for each in answered] == ["applied"] + ["duplicate"] * 999
    assert await live.added(decision["arm"]) == (1_000_000, 0)
    assert named(await api.post("/reward/batch", {"items": [item] * 1_001}, 422)) == ["items"]
