"""Epsilon-greedy: most to the highest mean, a fixed share to everybody."""

import numpy as np
import pytest

from bandit_core.policies.base import Beliefs
from bandit_core.policies.epsilon_greedy import EpsilonGreedy


def beliefs_of(*means: float) -> Beliefs:
    mean = np.array(means)
    return Beliefs(tuple(f"arm-{index}" for index in range(len(means))), 100.0 * mean, 100.0 * (1.0 - mean))


def test_the_highest_mean_gets_all_but_epsilon_spread_over_everybody() -> None:
    assert EpsilonGreedy(epsilon=0.2).propose(beliefs_of(0.1, 0.3, 0.2, 0.2)).weights.tolist() == pytest.approx(
        [0.05, 0.85, 0.05, 0.05]
    )


def test_arms_that_tie_split_the_greedy_part() -> None:
    assert EpsilonGreedy(epsilon=0.0).propose(beliefs_of(0.25, 0.125, 0.25)).weights.tolist() == [0.5, 0.0, 0.5]


def test_epsilon_one_is_the_uniform_split() -> None:
    assert EpsilonGreedy(epsilon=1.0).propose(beliefs_of(0.1, 0.9)).weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("epsilon", [-0.01, 1.01, float("nan")])
def test_epsilon_must_be_a_share(epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon_greedy: epsilon must be"):
        EpsilonGreedy(epsilon=epsilon)
