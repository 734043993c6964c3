"""The report of an experiment: traffic, beliefs and what they mean."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from bandit_core.wording import duration
from bandit_service.results.experiment_report import recent_window

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment


async def reported(live: LiveExperiment, decisions: int) -> dict[str, Any]:
    """Wait until Postgres has the decisions, and return the report."""
    found: dict[str, Any] = {}

    async def has_come() -> bool:
        found.update(await live.read("report"))
        shares = [arm["recent_share"] for arm in found["arms"]]
        return bool(found["decisions"] >= decisions and None not in shares)

    await live.api.until(has_come)
    return found


async def test_an_arm_that_takes_nearly_all_traffic_without_being_better_is_pointed_out(api: Api) -> None:
    live = await api.create(policy={"name": "fixed", "params": {"weights": {"a": 1, "b": 99}}})
    for decision in await live.select_many(200):
        await live.reward(decision, 1.0)
    report = await reported(live, 200)
    by_arm = {arm["arm"]: arm for arm in report["arms"]}
    assert by_arm["b"]["recent_share"] == by_arm["b"]["traffic_share"] > 0.9
    assert report["findings"][0].startswith("Arm b has taken 9")
    assert "still overlaps arm a's" in report["findings"][0]
    assert report["entropy_status"] in ("warning", "critical")
    assert report["suggested_action"]


async def test_the_time_of_dominance_is_what_a_clock_says(api: Api) -> None:
    before = time.time()
    live = await api.create(policy={"name": "fixed", "params": {"weights": {"a": 1, "b": 99}}})
    created = time.time()
    await live.select_many(100)
    await reported(live, 100)
    asked = time.time()
    report = await live.read("report")
    # The service's clock is Postgres's, on the same machine.
    assert asked - created - 0.5 <= report["window"] <= time.time() - before + 0.5
    assert f"of traffic in the last {duration(report['window'])}" in report["findings"][0]


@pytest.mark.parametrize(("age", "window"), [(60.0, 60.0), (7_199.0, 7_199.0), (86_400.0, 7_200.0), (-1.0, 0.0)])
def test_the_recent_window_is_no_older_than_the_experiment(age: float, window: float) -> None:
    assert recent_window(1_000.0, 1_000.0 + age) == window


async def test_an_experiment_without_traffic_has_a_report_too(api: Api) -> None:
    report = await (await api.create()).read("report")
    assert (report["decisions"], report["converged"], report["entropy_trend"]) == (0, None, "unknown")
    assert {arm["traffic_share"] for arm in report["arms"]} == {None}
    assert report["holdout"] is None


async def test_the_holdout_says_what_the_bandit_is_worth(api: Api) -> None:
    live = await api.create(holdout=0.3, control_arm="a", policy={"name": "fixed", "params": {"weights": {"b": 1}}})
    for number in range(120):
        decision = await live.select(unit_id=f"visitor-{number}")
        # The control arm earns on every tenth, the other on every second decision.
        rewarded = number % 10 == 0 if decision["arm"] == "a" else number % 2 == 0
        await live.reward(decision, float(rewarded))
    holdout = (await reported(live, 1))["holdout"]
    assert holdout["prob_better"] > 0.99
    assert holdout["interval"][0] < holdout["lift"] < holdout["interval"][1]
    assert 0 < holdout["difference_interval"][0] < holdout["difference"] < holdout["difference_interval"][1]
    assert holdout["control_decisions"] + holdout["bandit_decisions"] == 120
    assert holdout["sample_ratio_p_value"] > 0.01


async def test_linear_models_show_how_much_they_have_learnt(api: Api) -> None:
    live = await api.create(policy={"name": "linucb"}, context={"dimension": 1}, update_every=0.05)
    assert (await live.read("report"))["arms"][0]["coefficient_norm"] == 0.0
    await live.reward(await live.select(context=[1.0], eligible_arms=["a"]), 1.0)

    async def has_learnt() -> bool:
        return bool((await live.read("report"))["arms"][0]["coefficient_norm"] > 0.3)

    await api.until(has_learnt)
    norm = (await live.read("report"))["arms"][0]["coefficient_norm"]
    assert norm == pytest.approx(2**0.5 / 3)
