"""The mathematics of the checks, against what is known of it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from bandit_pipeline.monitoring.statistics import drift_p_value, normalised_entropy, sample_ratio_p_values


def draws(weights: NDArray[np.float64], arms: NDArray[np.int64]) -> dict[int, float]:
    """Return the p-values of decisions (n,) that were logged with weights (n, K)."""
    propensities = weights[np.arange(len(arms)), arms]
    return sample_ratio_p_values(arms, propensities, np.ones(len(arms), dtype=np.int64))


def moving_weights(rng: np.random.Generator, n: int, arms: int) -> NDArray[np.float64]:
    """Weights as a bandit publishes them: they move all the time, and some are small."""
    return rng.dirichlet(np.full(arms, 0.5), size=n) * 0.9 + 0.1 / arms


def drawn(rng: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    return (rng.random(len(weights))[:, None] > weights.cumsum(axis=1)).sum(axis=1).clip(max=weights.shape[1] - 1)


def test_decisions_drawn_as_logged_are_rarely_blamed_however_often_one_looks() -> None:
    rng, alarms, experiments = np.random.default_rng(5), 0, 100
    for _ in range(experiments):
        weights = moving_weights(rng, 1_000, 4)
        arms = drawn(rng, weights)
        alarms += any(min(draws(weights[:n], arms[:n]).values()) < 0.05 for n in range(100, 1_001, 100))
    assert alarms / experiments <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / experiments)


def test_an_arm_that_is_drawn_too_often_is_found() -> None:
    rng = np.random.default_rng(6)
    weights = moving_weights(rng, 20_000, 4)
    served = weights * [1.5, 1.0, 1.0, 1.0]
    values = draws(weights, drawn(rng, served / served.sum(axis=1, keepdims=True)))
    assert values[0] < 1e-4
    assert min(values[1], values[2], values[3]) > 0.05


def test_rows_may_be_counted_together() -> None:
    arms, propensities = np.array([0, 0, 1]), np.array([0.5, 0.5, 0.5])
    one_by_one = sample_ratio_p_values(arms, propensities, np.array([1, 1, 1]))
    together = sample_ratio_p_values(np.array([0, 1]), np.array([0.5, 0.5]), np.array([2, 1]))
    assert one_by_one == pytest.approx(together)


def test_entropy_lies_between_one_arm_and_equal_weights() -> None:
    assert normalised_entropy([0.25] * 4) == pytest.approx(1.0)
    assert normalised_entropy([1.0, 0.0, 0.0]) == 0.0
    assert normalised_entropy([1.0]) == 1.0
    assert 0.0 < normalised_entropy([0.9, 0.1]) < 1.0


def test_drift_agrees_with_welch_for_many_rewards() -> None:
    rng = np.random.default_rng(7)
    recent, before = rng.binomial(1, 0.05, 5_000), rng.binomial(1, 0.06, 8_000)
    ours = drift_p_value(*((len(x), float(x.sum()), float((x * x).sum())) for x in (recent, before)))
    assert ours == pytest.approx(ttest_ind(recent, before, equal_var=False).pvalue, rel=0.01)


def test_too_few_rewards_say_nothing() -> None:
    assert drift_p_value((1, 1.0, 1.0), (100, 0.0, 0.0)) == 1.0
    assert drift_p_value((5, 0.0, 0.0), (100, 0.0, 0.0)) == 1.0
