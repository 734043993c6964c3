from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.clipping import slope
from bandit_core.ope.evaluation import estimate
from bandit_core.ope.logged import LoggedDecisions

type Floats = NDArray[np.float64]
type MakeProblem = Callable[..., tuple[LoggedDecisions, Floats, Floats]]

LOGGING = np.array([0.01, 0.495, 0.495])
TARGET = np.array([0.9, 0.05, 0.05])


def log_of(rates: Floats, n: int, seed: int) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    arms = rng.choice(3, size=n, p=LOGGING)
    rewards = (rng.random(n) < rates[arms]).astype(np.float64)
    return LoggedDecisions(arms, rewards, LOGGING[arms], n_arms=3)


def test_candidates_go_from_the_largest_weight_down(make_problem: MakeProblem) -> None:
    log, target, _ = make_problem()
    chosen = slope(log, target, method="ipw")
    thresholds = [threshold for threshold, _ in chosen.candidates]
    weights = target[np.arange(len(log)), log.arms] / log.propensities
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] == pytest.approx(weights.max())
    assert thresholds[-1] == pytest.approx(np.median(weights))
    assert (chosen.threshold, chosen.result) in chosen.candidates
    assert chosen.result == estimate(log, target, method="ipw", threshold=chosen.threshold)


def test_a_threshold_whose_bias_shows_is_not_chosen() -> None:
    """Clipping at 1 cuts nine tenths of what the rare arm earns; with much data that cannot be overlooked."""
    log = log_of(np.array([0.9, 0.1, 0.1]), n=50_000, seed=0)
    assert slope(log, TARGET, method="ipw", thresholds=[90.0, 1.0]).threshold == 90.0


def test_where_clipping_costs_nothing_the_smallest_threshold_is_chosen() -> None:
    log = log_of(np.array([0.0, 0.1, 0.1]), n=50_000, seed=0)
    assert slope(log, TARGET, method="ipw", thresholds=[90.0, 10.0, 1.0]).threshold == 1.0


def test_on_small_logs_a_chosen_threshold_errs_less_than_none() -> None:
    rates = np.array([0.12, 0.1, 0.1])
    truth = float(TARGET @ rates)
    logs = [log_of(rates, n=300, seed=seed) for seed in range(200)]
    q_hat = np.full(3, 0.1)
    plain = [estimate(log, TARGET, method="dr", q_hat=q_hat).estimate for log in logs]
    chosen = [slope(log, TARGET, method="dr", q_hat=q_hat).result.estimate for log in logs]
    assert np.square(np.array(chosen) - truth).mean() < np.square(np.array(plain) - truth).mean() / 2


def test_shrinkage_is_offered_squares_of_weights(make_problem: MakeProblem) -> None:
    log, target, q_hat = make_problem()
    largest = max(threshold for threshold, _ in slope(log, target, method="ipw").candidates)
    assert slope(log, target, method="dr-os", q_hat=q_hat).candidates[0][0] == pytest.approx(largest**2)


@pytest.mark.parametrize(
    ("method", "thresholds", "complaint"),
    [("dm", None, "dm has no threshold"), ("ipw", [], "at least one threshold"), ("ips", None, "no estimator 'ips'")],
)
def test_what_cannot_be_chosen_is_refused(
    make_problem: MakeProblem, method: str, thresholds: list[float] | None, complaint: str
) -> None:
    log, target, q_hat = make_problem()
    with pytest.raises(ValueError, match=complaint):
        slope(log, target, method=method, thresholds=thresholds, q_hat=q_hat)


def test_without_a_positive_weight_there_is_nothing_to_choose() -> None:
    log = LoggedDecisions(np.zeros(3, dtype=int), np.ones(3), np.ones(3), n_arms=2)
    with pytest.raises(ValueError, match="nothing to choose a threshold for"):
        slope(log, [0.0, 1.0], method="ipw")
