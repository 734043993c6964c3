"""Rewards that are any number: exact sums, posteriors that follow, and the same beliefs after a rebuild."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Api

REVENUE: dict[str, Any] = {"rewards": {"distribution": "gaussian", "unit": 10.0, "mean": 2.0, "strength": 2.0}}


async def test_the_posterior_follows_the_rewards(api: Api) -> None:
    live = await api.create(**REVENUE)
    for reward in (12.5, 40.0, -3.0):
        decision = await live.select(eligible_arms=["a"])
        assert (await live.reward(decision, reward))["reward"] == pytest.approx(reward)
    arm = await live.arm("a")
    # Normal-Inverse-Gamma with a prior mean of 2 units worth two observations.
    assert arm["mean"] == pytest.approx((2 * 20.0 + 49.5) / 5)
    assert arm["rewards"] == 3
    assert arm["reward_sum"] == pytest.approx(49.5)
    assert arm["interval"][0] < arm["mean"] < arm["interval"][1]
    assert (arm["alpha"], arm["beta"]) == (None, None)


async def test_traffic_moves_to_the_arm_that_earns_more(api: Api) -> None:
    live = await api.create(**REVENUE)
    for number in range(40):
        await live.report("a", 10.0 + number % 3)
        await live.report("b", 30.0 + number % 3)

    async def has_moved() -> bool:
        return bool((await live.read("allocation"))["weights"]["b"] > 0.95)

    await api.until(has_moved)


async def test_a_reward_beyond_what_can_be_summed_exactly_is_refused(api: Api) -> None:
    live = await api.create(**REVENUE)
    problem = await live.report("a", 1e6, 422)
    assert problem["errors"][0]["field"] == "reward"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"missing_reward": "zero"}, "missing_reward"),
        ({"reward_model": {"type": "binary"}}, "reward_model"),
        ({"policy": {"name": "linucb"}, "context": {"dimension": 2}}, "policy.name"),
    ],
)
async def test_what_does_not_go_with_gaussian_rewards_is_refused(api: Api, changes: dict[str, Any], field: str) -> None:
    fields = {"experiment_id": "never-made", "arms": ["a", "b"]} | REVENUE | changes
    problem = await api.post("/experiments", fields, 422)
    assert field in [error["field"] for error in problem["errors"]]


async def test_a_tolerance_of_loss_is_in_what_rewards_are_sent_in(api: Api) -> None:
    rule = {"prob_best": None, "expected_loss": 2.0, "min_decisions_per_arm": 0, "auto_conclude": False}
    live = await api.create(policy={"name": "uniform"}, stopping=rule, **REVENUE)
    for number in range(12):
        for arm in "ab":
            await live.report(arm, 20.0 + (-1) ** number * 12.0)
    posterior, conclusion = await live.read("posterior"), await live.read("conclusion")
    [condition] = [each for each in conclusion["conditions"] if each["name"] == "expected_loss"]
    assert condition["value"] == pytest.approx(posterior["expected_loss"])
    assert condition["threshold"] == 2.0
    assert condition["holds"] is (posterior["expected_loss"] <= 2.0)
    assert "point" not in conclusion["sentence"]
