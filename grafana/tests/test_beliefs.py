"""What the SQL works out of beliefs agrees with scipy, with bandit_core and with the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from bandit_core.policies.base import Beliefs
from dashboards.queries import BEST_ARM, CONDITIONS, CURVE, sql

if TYPE_CHECKING:
    from conftest import Ask, Platform, Rows

PARAMETERS = st.tuples(st.floats(0.5, 1e4), st.floats(0.5, 1e4))


def asked_of_priors(platform: Platform, ask: Ask, query: str, arms: list[tuple[float, float]]) -> Rows:
    """Return the answer for an experiment without data, whose posteriors are its priors."""
    with platform.transaction() as connection:
        connection.execute(
            "INSERT INTO experiments (id, namespace, status, revision, definition) "
            "VALUES ('priors', 'default', 'running', 1, '{}')"
        )
        for index, (alpha, beta) in enumerate(arms):
            connection.execute(
                "INSERT INTO experiment_arms VALUES ('priors', %s, %s, %s, %s, 'active')",
                (index, f"arm {index}", round(alpha * 1e6), round(beta * 1e6)),
            )
        return ask(query, connection, experiment="priors")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arms=st.lists(PARAMETERS, min_size=1, max_size=4))
@example(arms=[(9_260.0, 0.5)])
def test_densities_are_those_of_the_beta_distribution(
    arms: list[tuple[float, float]], platform: Platform, ask: Ask
) -> None:
    rows = asked_of_priors(platform, ask, sql("densities", CURVE), arms)
    for index, (alpha, beta) in enumerate(arms):
        own = [row for row in rows if row["arm"] == f"arm {index}"]
        assert len(own) >= 80
        x = np.array([row["x"] for row in own])
        truth = stats.beta(round(alpha, 6), round(beta, 6))
        # Towards 1 the distance to it, on which the density depends, has fewer digits than x.
        rounding = 2.0**-53 * (abs(alpha - 1) / x + abs(beta - 1) / (1 - x))
        density = np.array([row["density"] for row in own])
        assert np.all(np.abs(density - truth.pdf(x)) <= 1e-9 + (1e-6 + rounding) * truth.pdf(x))
        assert truth.cdf(x.max()) - truth.cdf(x.min()) > 0.995


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arms=st.lists(PARAMETERS, min_size=1, max_size=4))
def test_p_best_and_expected_loss_are_those_of_bandit_core(
    arms: list[tuple[float, float]], platform: Platform, ask: Ask
) -> None:
    rows = sorted(asked_of_priors(platform, ask, sql("arms", BEST_ARM), arms), key=lambda row: str(row["arm"]))
    alpha, beta = np.array(arms).T
    best = Beliefs(tuple(row["arm"] for row in rows), alpha, beta).best_arm
    np.testing.assert_allclose([row["prob_best"] for row in rows], best.prob_best, atol=2e-4)
    np.testing.assert_allclose([row["expected_loss"] for row in rows], best.expected_loss, atol=1e-4)


def test_they_are_close_where_rates_are_small_and_data_is_there(platform: Platform, ask: Ask) -> None:
    arms = [(40.0, 1_960.0), (50.0, 1_950.0), (12.0, 500.0)]
    rows = sorted(asked_of_priors(platform, ask, sql("arms", BEST_ARM), arms), key=lambda row: str(row["arm"]))
    alpha, beta = np.array(arms).T
    best = Beliefs(tuple(row["arm"] for row in rows), alpha, beta).best_arm
    np.testing.assert_allclose([row["prob_best"] for row in rows], best.prob_best, atol=1e-5)
    np.testing.assert_allclose([row["expected_loss"] for row in rows], best.expected_loss, atol=1e-6)


@pytest.mark.parametrize(("alpha", "beta"), [(1, 1), (0.5, 0.5), (3, 200), (5_000, 95_000)])
def test_bounds_hold_the_credible_interval_closely(alpha: float, beta: float, platform: Platform, ask: Ask) -> None:
    (row,) = asked_of_priors(platform, ask, sql("arms", BEST_ARM), [(alpha, beta)])
    truth = stats.beta(alpha, beta)
    assert 0.016 < truth.cdf(row["low"]) < 0.0255
    assert 0.9745 < truth.cdf(row["high"]) < 0.984


def test_posteriors_are_those_of_the_service(platform: Platform, ask: Ask) -> None:
    rows = {row["arm"]: row for row in ask(sql("arms", BEST_ARM))}
    for arm in platform.reports["posterior"]["arms"]:
        row = rows[arm["arm"]]
        assert (row["decisions"], row["rewards"]) == (arm["decisions"], arm["rewards"])
        assert row["mean"] == pytest.approx(arm["mean"], abs=1e-12)
        assert row["prob_best"] == pytest.approx(arm["prob_best"], abs=1e-4)
        assert row["weight"] == pytest.approx(arm["weight"], abs=0.01)


def test_conditions_and_progress_are_those_of_the_stopping_rule(platform: Platform, ask: Ask) -> None:
    conclusion = platform.reports["conclusion"]
    rows = ask(sql("conditions", CONDITIONS))
    names = {
        "P(best)": "prob_best",
        "expected loss": "expected_loss",
        "decisions": "min_decisions",
        "decisions of every arm": "min_decisions_per_arm",
        "seconds": "max_duration",
    }
    truth = {condition["name"]: condition for condition in conclusion["conditions"]}
    assert {names[row["condition"]] for row in rows} == truth.keys()
    for row in rows:
        condition = truth[names[row["condition"]]]
        assert row["threshold"] == condition["threshold"]
        if condition["name"] != "max_duration":  # time goes on between the two answers
            assert row["value"] == pytest.approx(condition["value"], rel=0.02, abs=1e-6)
        assert row["progress"] == pytest.approx(condition["progress"], abs=0.01)
    (progress,) = ask(sql("progress", CONDITIONS))
    assert progress["progress"] == pytest.approx(conclusion["progress"], abs=0.01)


def test_an_experiment_without_a_stopping_rule_has_no_conditions(ask: Ask) -> None:
    assert ask(sql("conditions", CONDITIONS), experiment="idle") == []


def test_an_experiment_without_data_shows_its_priors(ask: Ask) -> None:
    rows = ask(sql("arms", BEST_ARM), experiment="idle")
    assert [row["mean"] for row in rows] == [0.5, 0.5]
