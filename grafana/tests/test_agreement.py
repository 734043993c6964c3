"""A number that is shown in two places is the same in both: the service's answers, the views and the panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from dashboards.queries import sql

if TYPE_CHECKING:
    from conftest import Ask, Platform

EXPERIMENTS = ["shop.banner", "shop.value", "shop.basket"]
# The service adds the same sums up anew for each answer.
SAME = 1e-9


@pytest.mark.parametrize("name", [*EXPERIMENTS, "idle"])
def test_arms_are_those_of_the_posterior(name: str, platform: Platform, ask: Ask) -> None:
    rows = {row["arm"]: row for row in ask(sql("arms"), experiment=name)}
    sums = {row["arm"]: row["reward_sum"] for row in view(ask, "posteriors_v1", name)}
    arms = platform.reports[name]["posterior"]["arms"]
    assert rows.keys() == {arm["arm"] for arm in arms}
    for arm in arms:
        row = rows[arm["arm"]]
        for field in ("decisions", "rewards", "status"):
            assert row[field] == arm[field]
        for field in ("mean", "prob_best", "expected_loss"):
            assert row[field] == pytest.approx(arm[field], rel=SAME, abs=SAME)
        assert (row["low"], row["high"]) == pytest.approx(arm["interval"], rel=SAME)
        assert sums[arm["arm"]] == pytest.approx(arm["reward_sum"], rel=SAME)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_weights_are_those_of_the_allocation(name: str, platform: Platform, ask: Ask) -> None:
    said = platform.reports[name]["allocation"]
    [kept] = [row for row in view(ask, "allocations_v1", name) if row["weights_version"] == said["weights_version"]]
    assert kept["weights"] == said["weights"]
    assert (kept["summary"], kept["explanation"]) == (said["summary"], said["explanation"])
    assert kept["published_at"].timestamp() == pytest.approx(said["published_at"], abs=5.0)


@pytest.mark.parametrize("name", ["shop.banner", "shop.value"])
def test_conditions_are_those_of_the_stopping_rule(name: str, platform: Platform, ask: Ask) -> None:
    said = {condition["name"]: condition for condition in platform.reports[name]["conclusion"]["conditions"]}
    rows = {row["condition"]: row for row in ask(sql("conditions"), experiment=name)}
    assert rows.keys() == said.keys()
    for condition, row in rows.items():
        assert row["threshold"] == said[condition]["threshold"]
        if condition != "max_duration":  # time goes on between the two answers
            assert row["value"] == pytest.approx(said[condition]["value"], rel=SAME)
            assert row["progress"] == pytest.approx(said[condition]["progress"], rel=SAME)


def test_progress_is_that_of_the_stopping_rule(platform: Platform, ask: Ask) -> None:
    said = platform.reports["shop.value"]["conclusion"]
    [row] = ask(sql("progress"), experiment="shop.value")
    assert row["progress"] == pytest.approx(said["progress"], rel=SAME)
    [kept] = view(ask, "stopping_v1", "shop.value")
    assert (kept["stop"], kept["outcome"], kept["sentence"]) == (said["stop"], said["outcome"], said["sentence"])


def test_a_conclusion_ends_the_progress(platform: Platform, ask: Ask) -> None:
    said = platform.client.get("/experiments/shop.banner/conclusion").json()
    [kept] = view(ask, "stopping_v1", "shop.banner")
    assert (kept["stop"], kept["outcome"], kept["arm"], kept["sentence"], kept["progress"]) == (
        True,
        said["outcome"],
        said["winner"],
        said["sentence"],
        said["progress"],
    )


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_snapshots_are_the_posterior(name: str, platform: Platform, ask: Ask) -> None:
    rows = {row["arm"]: row for row in view(ask, "posterior_snapshots_v1", name)}
    for arm in platform.reports[name]["posterior"]["arms"]:
        row = rows[arm["arm"]]
        assert (row["decisions"], row["rewards"]) == (arm["decisions"], arm["rewards"])
        for parameter in ("alpha", "beta"):
            assert row[parameter] == (arm[parameter] and pytest.approx(arm[parameter], rel=SAME))
        assert row["reward_sum"] == pytest.approx(arm["reward_sum"], rel=SAME)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_rewards_and_outcomes_add_up(name: str, platform: Platform, ask: Ask) -> None:
    for table in ("rewards_v1", "outcomes_v1", "decisions_v1"):
        rows = [row for row in view(ask, table, name) if row["stratum"] == "bandit"]
        for arm in platform.reports[name]["posterior"]["arms"]:
            sent = [row["reward"] for row in rows if row["arm"] == arm["arm"]]
            assert len(sent) == arm["rewards"]
            assert sum(sent) == pytest.approx(arm["reward_sum"], rel=SAME)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_are_those_of_the_experiment(name: str, platform: Platform, ask: Ask) -> None:
    said = platform.client.get(f"/experiments/{name}").json()
    [row] = view(ask, "experiments_v1", name)
    for field in ("namespace", "status", "revision", "reward_window", "missing_reward", "winner"):
        assert row[field] == said[field]
    assert (row["policy"], row["reward_distribution"]) == (said["policy"]["name"], said["rewards"]["distribution"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_densities_are_those_of_the_posterior(name: str, platform: Platform, ask: Ask) -> None:
    rows = ask(sql("densities"), experiment=name)
    parameters = {row["arm"]: row for row in view(ask, "posteriors_v1", name)}
    for arm in platform.reports[name]["posterior"]["arms"]:
        points = [row for row in rows if row["arm"] == arm["arm"]]
        x, density = (np.array([point[axis] for point in points]) for axis in ("x", "density"))
        shown = parameters[arm["arm"]]
        truth = (
            stats.t(shown["freedom"], shown["location"], shown["scale"])
            if arm["alpha"] is None
            else stats.beta(arm["alpha"], arm["beta"])
        )
        np.testing.assert_allclose(density, truth.pdf(x), rtol=1e-6, atol=1e-9)
        assert truth.interval(0.95) == pytest.approx(arm["interval"], rel=1e-6)
        assert len(points) == 200
        assert truth.cdf(x.max()) - truth.cdf(x.min()) > 0.99


def view(ask: Ask, name: str, experiment: str) -> list[dict[str, Any]]:
    """Return the rows that a view has of an experiment."""
    return [row for row in ask(f"TABLE {name}") if row["experiment_id"] == experiment]
