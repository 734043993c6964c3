"""Contextual policies with linear models, played on many logs of all arms' rewards at once, vectorised.

The models are those of `linear.py` without decay: recursive least squares, with A⁻¹ by the Sherman–Morrison formula. A
decision of linear Thompson sampling is a draw of one score per arm, which is distributed as a draw from its vector.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit_core.contextual import LinearThompson, LinUCB

type Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """The arms that were chosen (S, N) in N rounds of S runs, and the coefficients (S, K, d) learnt by the end."""

    chosen: NDArray[np.int64]
    theta: Array


def play(policy: LinUCB | LinearThompson, x: Array, rewards: Array, generator: np.random.Generator) -> Played:
    """Decide N rounds in each of S runs, one after the other, learning from each reward at once.

    `x` (S, N, d) are the contexts, the intercept included, and `rewards` (S, N, K) what every arm would bring.
    ValueError for shapes that do not fit, or a policy with a half-life: rounds have no times.
    """
    if x.ndim != 3 or rewards.ndim != 3 or x.shape[:2] != rewards.shape[:2]:
        raise ValueError(f"x must be (S, N, d) and rewards (S, N, K), got {x.shape} and {rewards.shape}")
    if policy.half_life is not None:
        raise ValueError("rounds have no times: leave out the half-life")
    (runs, rounds, dimension), arms = x.shape, rewards.shape[2]
    theta, covariance = np.zeros((runs, arms, dimension)), np.empty((runs, arms, dimension, dimension))
    covariance[:] = np.eye(dimension) / policy.ridge
    chosen, run = np.empty((runs, rounds), dtype=np.int64), np.arange(runs)
    for now in range(rounds):
        context = x[:, now]
        along = (covariance @ context[:, None, :, None])[..., 0]
        mean, variance = (theta @ context[:, :, None])[..., 0], (along @ context[:, :, None])[..., 0]
        arm = _choose(policy, mean, np.sqrt(variance), generator)
        gain = along[run, arm] / (1.0 + variance[run, arm])[:, None]
        surprise = rewards[run, now, arm] - mean[run, arm]
        covariance[run, arm] -= gain[:, :, None] * along[run, arm][:, None, :]
        theta[run, arm] += gain * surprise[:, None]
        chosen[:, now] = arm
    return Played(chosen, theta)


def share_of_advantage(means: Array, chosen: NDArray[np.int64]) -> Array:
    """Return the share (S,) of the oracle's cumulative advantage over the best fixed arm that the choices earned.

    In mean rewards `means` (S, N, K) rather than observed ones, so that luck does not count. The oracle takes the best
    arm of every round, the fixed arm is each run's best over all rounds; so 1 is perfect, and below 0 the fixed arm
    would have been better.
    """
    fixed = means.sum(axis=1).max(axis=1)
    earned = np.take_along_axis(means, chosen[:, :, None], axis=2)[:, :, 0].sum(axis=1)
    share: Array = (earned - fixed) / (means.max(axis=2).sum(axis=1) - fixed)
    return share


def _choose(
    policy: LinUCB | LinearThompson, mean: Array, sd: Array, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the arm (S,) with the highest bound, ties by lot, or with the highest drawn score."""
    if isinstance(policy, LinUCB):
        bound = mean + policy.alpha * sd
        is_highest = bound == bound.max(axis=1, keepdims=True)
        return np.asarray((is_highest * generator.random(bound.shape)).argmax(axis=1))
    return np.asarray((mean + policy.alpha * sd * generator.standard_normal(mean.shape)).argmax(axis=1))
