"""The vector of linear Thompson sampling: against draws of coefficients, and closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from bandit_core.contextual import LinearBeliefs, LinearThompson, linear_weights

type Array = NDArray[np.float64]

DRAWS, CHUNK = 1_000_000, 20_000


def beliefs_of(count: int) -> LinearBeliefs:
    """Arms of which some are well known and others hardly; the best ones are close."""
    rng = np.random.default_rng(count)
    root = rng.normal(size=(count, 2, 2)) * np.exp(rng.uniform(np.log(0.03), np.log(0.5), (count, 1, 1)))
    return LinearBeliefs(tuple(map(str, range(count))), rng.normal(0.5, 0.05, (count, 2)), root @ root.swapaxes(1, 2))


def shares_of_the_best(beliefs: LinearBeliefs, x: Array, alpha: float, rng: np.random.Generator) -> Array:
    """Draw every arm's coefficients DRAWS times, and count how often its score θ·x is the highest.

    In single precision: a draw that it orders wrongly is rarer than one in a million.
    """
    count, dimension = beliefs.theta.shape
    root = (alpha * np.linalg.cholesky(beliefs.covariance)).astype(np.float32)
    theta, at = beliefs.theta.astype(np.float32)[:, :, None], x.astype(np.float32)
    wins = np.zeros(count)
    for _ in range(DRAWS // CHUNK):
        noise = rng.standard_normal((count, dimension, CHUNK), dtype=np.float32)
        wins += np.bincount((at @ (theta + root @ noise)).argmax(axis=0), minlength=count)
    return wins / DRAWS


@pytest.mark.parametrize("count", [2, 5, 10, 20, 50])
def test_the_vector_matches_1_000_000_draws_of_coefficients(count: int) -> None:
    """Within 4 standard errors, of one draw at least: the counts of the least likely arms are Poisson."""
    beliefs, x = beliefs_of(count), np.array([0.7, 1.0])
    weights = linear_weights(LinearThompson(alpha=0.5), beliefs, x, 0.0)
    shares = shares_of_the_best(beliefs, x, 0.5, np.random.default_rng(count + 1))
    std_error = np.maximum(np.sqrt(weights * (1.0 - weights) / DRAWS), 1.0 / DRAWS)
    assert (np.abs(shares - weights) < 4.0 * std_error).all()
    assert np.count_nonzero(weights > 0.01) >= min(count, 4)  # or the draws would show little


def test_two_arms_obey_the_closed_form() -> None:
    """P(a) = Φ((m_a − m_b) / (alpha √(s_a² + s_b²)))."""
    mean, sd = np.array([0.3, 0.25]), np.array([0.05, 0.1])
    truth = ndtr(0.05 / (0.4 * np.hypot(0.05, 0.1)))
    assert LinearThompson(alpha=0.4).weights(mean, sd) == pytest.approx([truth, 1.0 - truth], abs=1e-9)


def test_without_exploration_the_best_mean_gets_everything_and_ties_share() -> None:
    policy = LinearThompson(alpha=0.0)
    assert policy.weights(np.array([0.1, 0.3, 0.3]), np.ones(3)).tolist() == pytest.approx([0.0, 0.5, 0.5], abs=1e-12)


def test_a_larger_alpha_spreads_the_weights() -> None:
    mean, sd = np.array([0.5, 0.4, 0.3]), np.array([0.05, 0.05, 0.05])
    highest = [LinearThompson(alpha=alpha).weights(mean, sd)[0] for alpha in (0.03, 0.1, 0.3, 1.0, 3.0, 100.0)]
    assert highest == sorted(highest, reverse=True)
    assert highest[0] == pytest.approx(1.0, abs=1e-12)
    assert highest[-1] == pytest.approx(1.0 / 3.0, abs=0.01)
