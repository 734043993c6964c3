"""Beliefs and proposals: validated when made."""

import numpy as np
import pytest

from bandit_core.policies.base import Beliefs, Proposal


def test_beliefs_know_their_means_and_the_best_arm() -> None:
    beliefs = Beliefs(("a", "b"), np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    assert beliefs.mean.tolist() == [0.25, 0.75]
    assert beliefs.best_arm.leader == 1
    assert beliefs.best_arm is beliefs.best_arm


def test_beliefs_do_not_change_with_the_arrays_they_were_made_from() -> None:
    alpha = np.array([1.0, 3.0])
    beliefs = Beliefs(("a", "b"), alpha, np.array([3.0, 1.0]))
    alpha[0] = 99.0
    assert beliefs.alpha.tolist() == [1.0, 3.0]
    for array in (beliefs.alpha, beliefs.beta, beliefs.mean):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5.0


@pytest.mark.parametrize(
    ("arms", "alpha", "beta", "message"),
    [
        ((), [], [], "at least one arm"),
        (("a", "b", "a"), [1, 1, 1], [1, 1, 1], "arm ids must differ, repeated: a"),
        (("a", "b"), [1], [1, 1], "alpha must hold one number for each of 2 arms"),
        (("a", "b"), [1, 1], [1, 0], "beta must be positive and finite"),
        (("a", "b"), [1, np.nan], [1, 1], "alpha must be positive and finite"),
        (("a", "b"), [1, np.inf], [1, 1], "alpha must be positive and finite"),
    ],
)
def test_beliefs_that_make_no_sense_are_refused(
    arms: tuple[str, ...], alpha: list[float], beta: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Beliefs(arms, np.array(alpha, dtype=np.float64), np.array(beta, dtype=np.float64))


@pytest.mark.parametrize("weights", [[0.5, 0.4], [1.2, -0.2], [np.nan, 1.0], [np.inf, 0.0]])
def test_a_proposal_is_a_probability_vector(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights of at least 0 that sum to 1"):
        Proposal(np.array(weights))
