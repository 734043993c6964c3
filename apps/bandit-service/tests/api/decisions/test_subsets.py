"""Requests that may be given some of the arms only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bandit_core.best_arm import best_arm

if TYPE_CHECKING:
    from conftest import Api


BELIEFS = ([9.0, 6.0, 3.0], [3.0, 6.0, 9.0])


async def test_a_cold_subset_is_renormalised_and_then_exact(api: Api) -> None:
    live = await api.create(*"abc", guardrails={"min_weight": 0.0})
    for arm, successes in (("a", 8), ("b", 5), ("c", 2)):
        for number in range(10):
            await live.report(arm, float(number < successes))
    await api.until(lambda: _is_published(live, dict(zip("abc", best_arm(*BELIEFS).prob_best, strict=True))))
    published = (await live.read("allocation"))["weights"]

    answer = await live.select(eligible_arms=["a", "c"])
    assert answer["vector"] == "renormalised"
    assert answer["propensity"] == pytest.approx(published[answer["arm"]] / (published["a"] + published["c"]))

    async def is_exact() -> bool:
        return bool((await live.select(eligible_arms=["a", "c"]))["vector"] == "subset")

    await api.until(is_exact)
    answer = await live.select(eligible_arms=["a", "c"])
    exact = dict(zip("ac", best_arm([9.0, 3.0], [3.0, 9.0]).prob_best, strict=True))
    assert answer["propensity"] == pytest.approx(exact[answer["arm"]], abs=1e-9)


async def _is_published(live: Any, weights: dict[str, float]) -> bool:
    """Whether the weights are those of all reports: while the machine is busy they are published in between, too."""
    return bool((await live.read("allocation"))["weights"] == pytest.approx(weights, abs=1e-9))


async def test_all_arms_named_is_the_published_vector(api: Api) -> None:
    live = await api.create()
    assert "vector" not in await live.select(eligible_arms=["b", "a"])


async def test_a_paused_experiment_gives_nothing_that_is_not_eligible(api: Api) -> None:
    live = await api.create(*"abc")
    await live.change("pause")
    assert (await live.select(exclude_arms=["a"]))["arm"] == "b"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"eligible_arms": ["z"]}, "eligible_arms"),
        ({"exclude_arms": ["z"]}, "exclude_arms"),
        ({"exclude_arms": ["a", "b"]}, "eligible_arms"),
        ({"eligible_arms": ["a"], "exclude_arms": ["a"]}, "eligible_arms"),
    ],
)
async def test_what_leaves_nothing_to_choose_is_refused(api: Api, asked: dict[str, Any], field: str) -> None:
    live = await api.create()
    problem = await live.select(422, **asked)
    assert problem["errors"][0]["field"] == field
