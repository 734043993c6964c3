"""Stopping on the value of the policy: it is compared with the holdout, and goes on if it is better."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment

CONTEXTUAL: dict[str, Any] = {
    "policy": {"name": "linear_thompson", "params": {"alpha": 0.1}},
    "context": {"features": ["is_mobile"]},
    "holdout": 0.3,
    "control_arm": "a",
    "update_every": 0.05,
    "stopping": {"prob_best": None, "prob_better": 0.9, "min_decisions_per_arm": 5},
}


async def visit(live: LiveExperiment, number: int) -> dict[str, Any]:
    """Let a visitor come to whom arm b is worth a reward on a mobile, and arm a elsewhere."""
    is_mobile = number % 2
    decision: dict[str, Any] = await live.select(unit_id=f"visitor-{number}", context={"is_mobile": is_mobile})
    await live.reward(decision, float(decision["arm"] == liked(number)))
    return decision


def liked(number: int) -> str:
    return "b" if number % 2 else "a"


async def test_a_contextual_policy_that_beats_the_control_ends_its_experiment_and_goes_on(api: Api) -> None:
    live = await api.create(**CONTEXTUAL)
    visitors = iter(range(5_000))

    async def has_ended() -> bool:
        for _ in range(20):
            await visit(live, next(visitors))
        return bool((await live.read("conclusion"))["status"] == "concluded")

    await api.until(has_ended)
    conclusion = await live.read("conclusion")
    assert (conclusion["outcome"], conclusion["winner"], conclusion["stop"]) == ("better_policy", None, True)
    assert conclusion["sentence"].startswith("better policy, stopped - the policy's chance of earning more")
    decisions = {number: await visit(live, number) for number in islice(visitors, 60)}
    assert {(each["stratum"], each["vector"]) for each in decisions.values()} == {("concluded", "context")}
    assert sum(each["arm"] == liked(number) for number, each in decisions.items()) > 50


async def test_the_report_of_the_rule_says_how_near_the_policy_is(api: Api) -> None:
    live = await api.create(**CONTEXTUAL)
    conclusion = await live.read("conclusion")
    conditions = {each["name"]: each for each in conclusion["conditions"]}
    assert conditions["prob_better"]["value"] == pytest.approx(0.5)
    assert (conclusion["stop"], conclusion["outcome"], conclusion["progress"]) == (False, "undecided", 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"holdout": 0.0}, "needs a holdout"),
        ({"policy": {"name": "thompson"}, "context": None, "rewards": {"distribution": "gaussian"}}, "between 0 and 1"),
    ],
)
async def test_there_must_be_something_to_compare_with(api: Api, settings: dict[str, Any], message: str) -> None:
    body = {"experiment_id": "refused", "arms": ["a", "b"]} | CONTEXTUAL | settings
    answer = await api.post("/experiments", body, 422)
    errors = {error["field"]: error["message"] for error in answer["errors"]}
    assert message in errors["stopping.prob_better"]
