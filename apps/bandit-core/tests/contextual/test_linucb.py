"""Optimism with linear models: the upper bound decides, and ties share."""

import numpy as np
import pytest

from bandit_core.contextual import LinearBeliefs, LinUCB, linear_weights


def test_all_weight_goes_to_the_highest_upper_bound() -> None:
    mean, sd = np.array([0.5, 0.4, 0.1]), np.array([0.1, 0.3, 0.3])
    assert LinUCB(alpha=1.0).weights(mean, sd).tolist() == [0.0, 1.0, 0.0]
    assert LinUCB(alpha=0.4).weights(mean, sd).tolist() == [1.0, 0.0, 0.0]
    assert LinUCB(alpha=0.0).weights(mean, sd).tolist() == [1.0, 0.0, 0.0]


def test_ties_share() -> None:
    assert LinUCB().weights(np.array([0.5, 0.25, 0.5]), np.array([0.25, 0.5, 0.0])).tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize(("x", "chosen"), [([1.0, 0.0, 1.0], "a"), ([0.0, 1.0, 1.0], "b")])
def test_the_context_decides(x: list[float], chosen: str) -> None:
    theta = np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.2]])
    beliefs = LinearBeliefs(("a", "b"), theta, np.array([0.01 * np.eye(3)] * 2))
    weights = linear_weights(LinUCB(), beliefs, np.array(x), 0.1)
    assert dict(zip(beliefs.arms, weights.tolist(), strict=True))[chosen] == pytest.approx(0.9, rel=1e-15)
