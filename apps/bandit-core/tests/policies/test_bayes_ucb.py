"""Bayes-UCB: everything to the highest upper quantile."""

import numpy as np
import pytest
from scipy.stats import beta as beta_distribution

from bandit_core.policies.base import Beliefs
from bandit_core.policies.bayes_ucb import BayesUCB


def test_the_arm_with_the_highest_quantile_gets_everything_even_with_a_lower_mean() -> None:
    beliefs = Beliefs(("known", "unknown"), np.array([300.0, 2.0]), np.array([700.0, 6.0]))
    assert beliefs.mean[0] > beliefs.mean[1]
    assert BayesUCB(level=0.95).propose(beliefs).weights.tolist() == [0.0, 1.0]


def test_a_given_level_is_the_level_of_the_quantile() -> None:
    alpha, beta = np.array([3.0, 20.0]), np.array([9.0, 50.0])
    upper = BayesUCB(level=0.9).propose(Beliefs(("a", "b"), alpha, beta)).numbers["upper_quantile"]
    assert upper == pytest.approx(beta_distribution.ppf(0.9, alpha, beta), rel=1e-9)


def test_the_default_level_rises_with_the_evidence_as_in_the_paper() -> None:
    """Kaufmann et al. 2012, algorithm 1 with c = 0: level 1 - 1/t, t one more than the evidence so far."""
    alpha, beta = np.array([30.0, 20.0]), np.array([90.0, 60.0])
    upper = BayesUCB().propose(Beliefs(("a", "b"), alpha, beta)).numbers["upper_quantile"]
    assert upper == pytest.approx(beta_distribution.ppf(1.0 - 1.0 / 201.0, alpha, beta), rel=1e-9)


def test_arms_that_tie_split_the_weight() -> None:
    beliefs = Beliefs(("a", "b", "c"), np.array([2.0, 1.0, 2.0]), np.array([2.0, 9.0, 2.0]))
    assert BayesUCB().propose(beliefs).weights.tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize("level", [0.4, 1.0, float("nan")])
def test_level_must_be_an_upper_one(level: float) -> None:
    with pytest.raises(ValueError, match="bayes_ucb: level must be"):
        BayesUCB(level=level)
