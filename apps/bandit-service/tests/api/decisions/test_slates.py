"""Slates: several arms at once, in order, each position with its propensity and its own reward."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Api


async def test_a_slate_has_so_many_different_arms_in_order(api: Api) -> None:
    live = await api.create(*"abcdef")
    answer = await live.select(k=3)
    arms = [place["arm"] for place in answer["slate"]]
    assert len(set(arms)) == 3
    assert (answer["arm"], answer["propensity"]) == (arms[0], answer["slate"][0]["propensity"])
    assert answer["vector"] == "slate"
    # Arms nothing is known of: every slate is as likely as every other.
    assert math.isclose(answer["slate_propensity"], 1 / (6 * 5 * 4), rel_tol=1e-6)
    assert all(math.isclose(place["propensity"], 1 / 6, rel_tol=1e-6) for place in answer["slate"])


async def test_each_position_has_a_reward_of_its_own_counted_once(api: Api) -> None:
    live = await api.create(*"abc")
    answer = await live.select(k=3)
    places = [place["arm"] for place in answer["slate"]]
    assert (await live.reward(answer, 1.0, position=1))["status"] == "applied"
    assert (await live.reward(answer, 1.0, position=1))["status"] == "duplicate"
    assert (await live.reward(answer, 0.0, position=2))["arm"] == places[2]
    assert await live.added(places[1]) == (1_000_000, 0)
    assert await live.added(places[2]) == (0, 1_000_000)
    assert await live.added(places[0]) == (0, 0)
    problem = await live.reward(answer, 1.0, 422, position=3)
    assert problem["errors"][0]["field"] == "position"


async def test_every_position_is_a_decision_that_counts(api: Api) -> None:
    live = await api.create(*"abcd")
    served = Counter(place["arm"] for answer in await live.select_many(20, k=2) for place in answer["slate"])
    known = {arm["arm"]: arm["decisions"] for arm in (await live.read("posterior"))["arms"]}
    assert known == {arm: served[arm] for arm in "abcd"}


async def test_missing_rewards_that_are_zeros_enter_for_each_position(api: Api) -> None:
    live = await api.create("a", "b", missing_reward="zero", reward_window=0.3)
    answer = await live.select(k=2)
    await live.reward(answer, 1.0, position=1)

    async def both_closed() -> bool:
        return bool(sum(arm["rewards"] for arm in (await live.read("posterior"))["arms"]) == 2)

    await api.until(both_closed)
    assert await live.added(answer["slate"][0]["arm"]) == (0, 1_000_000)
    assert await live.added(answer["slate"][1]["arm"]) == (1_000_000, 0)


async def test_a_slate_leaves_out_what_is_not_eligible(api: Api) -> None:
    live = await api.create(*"abcde")
    answer = await live.select(k=3, exclude_arms=["b", "d"])
    assert sorted(place["arm"] for place in answer["slate"]) == ["a", "c", "e"]


async def test_a_paused_experiment_gives_its_default_arm_first(api: Api) -> None:
    live = await api.create(*"abc", default_arm="b")
    await live.change("pause")
    answer = await live.select(k=2)
    assert answer["slate"][0] == {"arm": "b", "arm_index": 1, "propensity": 1.0}
    assert (answer["stratum"], answer["slate_propensity"]) == ("paused", 1.0)


@pytest.mark.parametrize(
    ("settings", "asked", "field"),
    [
        ({}, {"k": 4}, "k"),
        ({"guardrails": {"preset": "safe"}}, {"k": 2}, "k"),
        ({"assignment": "sticky"}, {"k": 2, "unit_id": "u"}, "k"),
        ({"policy": {"name": "top_two_thompson"}}, {"k": 2}, "k"),
        ({"rewards": {"distribution": "gaussian"}}, {"k": 2}, "k"),
        ({}, {"k": 2, "decision_id": "mine"}, "decision_id"),
        ({}, {"k": 2, "defer_activation": True}, "defer_activation"),
    ],
)
async def test_what_does_not_go_with_slates_is_refused(
    api: Api, settings: dict[str, Any], asked: dict[str, Any], field: str
) -> None:
    live = await api.create(*"abc", **settings)
    problem = await live.select(422, **asked)
    assert problem["errors"][0]["field"] == field
