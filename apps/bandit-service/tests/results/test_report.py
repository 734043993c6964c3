"""What GET requests show of beliefs, weights and verdicts, against numbers computed independently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import integrate, stats

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment

REWARDS: dict[str, list[float]] = {"a": [1, 1, 0, 0.5, 1], "b": [0, 0.25, 1], "c": [0, 0, 0, 1]}
PRIORS = {"a": (1.0, 1.0), "b": (2.0, 3.0), "c": (0.5, 0.5)}


def a_rule(**fields: Any) -> dict[str, Any]:
    return {"min_decisions_per_arm": 0, "prob_best": 0.95, "auto_conclude": False} | fields


async def with_data(api: Api, **fields: Any) -> LiveExperiment:
    arms = [{"id": arm, "prior": {"alpha": alpha, "beta": beta}} for arm, (alpha, beta) in PRIORS.items()]
    live = await api.create(*arms, **fields)
    items = [
        {"experiment_id": live.id, "arm": arm, "reward": reward} for arm, found in REWARDS.items() for reward in found
    ]
    await api.post("/reward/batch", {"items": items})
    return live


def truth() -> dict[str, tuple[float, float]]:
    return {
        arm: (alpha + sum(REWARDS[arm]), beta + len(REWARDS[arm]) - sum(REWARDS[arm]))
        for arm, (alpha, beta) in PRIORS.items()
    }


def prob_best(arm: str) -> float:
    """Integrate the arm's density times the others' distribution functions."""
    others = [stats.beta(*truth()[other]) for other in truth() if other != arm]
    density = stats.beta(*truth()[arm])
    value, _ = integrate.quad(lambda x: density.pdf(x) * np.prod([other.cdf(x) for other in others]), 0, 1)
    return float(value)


def expected_loss(arm: str) -> float:
    """E[max] - E[arm], with E[max] the integral of 1 - P(all are below)."""
    arms = [stats.beta(*found) for found in truth().values()]
    highest, _ = integrate.quad(lambda x: 1.0 - np.prod([each.cdf(x) for each in arms]), 0, 1)
    return float(highest - stats.beta(*truth()[arm]).mean())


async def test_a_posterior_is_its_priors_and_rewards_and_its_numbers_are_scipys(api: Api) -> None:
    report = await (await with_data(api)).read("posterior")
    for arm in report["arms"]:
        name, (alpha, beta) = arm["arm"], truth()[arm["arm"]]
        density = stats.beta(alpha, beta)
        assert (arm["alpha"], arm["beta"], arm["rewards"]) == (alpha, beta, len(REWARDS[name]))
        assert arm["reward_sum"] == sum(REWARDS[name])
        assert arm["mean"] == pytest.approx(density.mean(), rel=1e-12)
        assert arm["interval"] == pytest.approx(density.interval(0.95), rel=1e-9)
        assert arm["prob_best"] == pytest.approx(prob_best(name), abs=1e-8)
        assert arm["expected_loss"] == pytest.approx(expected_loss(name), abs=1e-8)
    assert [arm["index"] for arm in report["arms"]] == [0, 1, 2]
    assert report["leader"] == max(truth(), key=prob_best)
    assert report["expected_loss"] == pytest.approx(min(map(expected_loss, truth())), abs=1e-8)


async def test_a_retired_arm_keeps_its_posterior_but_cannot_be_best(api: Api) -> None:
    live = await with_data(api)
    await live.change("arms/b/retire")
    arm = await live.arm("b")
    assert (arm["status"], arm["prob_best"], arm["expected_loss"], arm["weight"]) == ("retired", None, None, 0.0)
    assert (arm["alpha"], arm["beta"]) == truth()["b"]
    assert sum(each["prob_best"] for each in (await live.read("posterior"))["arms"] if each["prob_best"]) == (
        pytest.approx(1.0)
    )


async def test_an_allocation_is_one_version_of_weights_with_its_own_explanation(api: Api) -> None:
    live = await with_data(api, policy={"name": "fixed", "params": {"weights": {"a": 1, "b": 3}}})
    allocation = await live.read("allocation")
    assert sum(allocation["weights"].values()) == pytest.approx(1.0)
    explained = {arm["id"]: arm["weight"] for arm in allocation["explanation"]["arms"]}
    assert explained == allocation["weights"]
    assert allocation["weights_version"] >= 1
    assert allocation["changed_at"] <= allocation["published_at"]
    assert "b" in allocation["summary"]


async def test_the_verdict_names_conditions_numbers_and_the_arm(api: Api) -> None:
    live = await with_data(api, stopping=a_rule(prob_best=0.99, expected_loss=0.3))
    report = await live.read("conclusion")
    conditions = {each["name"]: each for each in report["conditions"]}
    assert conditions["prob_best"]["value"] == pytest.approx(prob_best("a"), abs=1e-8)
    assert conditions["expected_loss"]["value"] == pytest.approx(expected_loss("a"), abs=1e-8)
    assert (conditions["prob_best"]["holds"], conditions["expected_loss"]["holds"]) == (False, True)
    assert (report["stop"], report["outcome"], report["arm"]) == (True, "practically_equal", "a")
    assert (report["status"], report["winner"]) == ("running", None)
    assert "practically equal" in report["sentence"]


async def test_without_a_rule_the_verdict_says_so(api: Api) -> None:
    report = await (await with_data(api)).read("conclusion")
    assert (report["stop"], report["outcome"], report["conditions"], report["progress"]) == (False, "undecided", [], 0)
    assert "no stopping rule" in report["sentence"]


async def test_after_a_conclusion_by_hand_it_says_who_won_and_why(api: Api) -> None:
    live = await with_data(api, stopping=a_rule())
    await live.change("conclude", winner="b", reason="the designers like it")
    report = await live.read("conclusion")
    assert (report["status"], report["winner"], report["arm"], report["stop"]) == ("concluded", "b", "b", True)
    assert (report["sentence"], report["progress"]) == ("the designers like it", 1.0)


@pytest.mark.parametrize("view", ["posterior", "allocation", "conclusion"])
async def test_a_view_of_nothing_is_not_found(api: Api, view: str) -> None:
    await api.get(f"/experiments/nowhere/{view}", 404)
    await api.get(f"/experiments/no%20where/{view}", 422)


@pytest.mark.parametrize("view", ["posterior", "allocation", "conclusion"])
async def test_an_archived_experiment_can_still_be_looked_at(api: Api, view: str) -> None:
    live = await with_data(api)
    await live.archive()
    assert (await live.read(view))["experiment_id"] == live.id


async def test_a_thousand_arms_are_reported(api: Api) -> None:
    live = await api.create(*(f"arm-{number}" for number in range(1_000)))
    await live.report("arm-7", 1)
    arms = (await live.read("posterior"))["arms"]
    assert sum(arm["prob_best"] for arm in arms) == pytest.approx(1.0)
    assert max(arms, key=lambda arm: float(arm["prob_best"]))["arm"] == "arm-7"
