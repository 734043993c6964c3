"""Adaptive logs with a known truth: many runs of a learning policy, every decision and every weight kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_whole
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.simulation import BernoulliEnvironment, Published

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AdaptiveLogs:
    """arms and rewards (runs, n) of independent experiments, and the weights (runs, looks, n_arms) they published.

    The weights of a look hold for the `every` decisions that follow it. alpha and beta, of the same shape, are the
    beliefs they came from.
    """

    arms: NDArray[np.int64]
    rewards: Floats
    weights: Floats
    alpha: Floats
    beta: Floats
    every: int

    def of_chosen(self, table: Floats) -> Floats:
        """Return what a table (runs, looks, n_arms) holds for each chosen arm, (runs, n)."""
        runs, n = self.arms.shape
        chosen: Floats = table[np.arange(runs)[:, None], np.arange(n) // self.every, self.arms]
        return chosen

    def log(self, run: int) -> LoggedDecisions:
        """Return the log of one run."""
        probabilities = self.logging(run)
        n, n_arms = probabilities.shape
        propensities = probabilities[np.arange(n), self.arms[run]]
        return LoggedDecisions(self.arms[run], self.rewards[run], propensities, n_arms, adaptive=True)

    def logging(self, run: int) -> Floats:
        """Return the probabilities (n, n_arms) of all arms at every decision of one run."""
        probabilities: Floats = self.weights[run, np.arange(self.arms.shape[1]) // self.every]
        return probabilities


def adaptive_logs(
    environment: BernoulliEnvironment, strategy: Published, *, decisions: int, runs: int, rng: np.random.Generator
) -> AdaptiveLogs:
    """Play independent experiments from flat priors; rewards are known before the next look. At least one of each."""
    check_whole("decisions", decisions, low=1)
    check_whole("runs", runs, low=1)
    n_arms, looks = len(environment.arms), -(-decisions // strategy.every)
    means = np.broadcast_to(environment.means, (runs, n_arms))
    arms, rewards = np.empty((runs, decisions), dtype=np.int64), np.empty((runs, decisions))
    weights, alpha, beta = (np.empty((runs, looks, n_arms)) for _ in range(3))
    successes, failures = np.ones((runs, n_arms)), np.ones((runs, n_arms))
    for look in range(looks):
        alpha[:, look], beta[:, look] = successes, failures
        weights[:, look] = published = strategy.weights(successes, failures)
        block = slice(look * strategy.every, min((look + 1) * strategy.every, decisions))
        uniforms = rng.random((runs, block.stop - block.start, 1))
        chosen = (uniforms >= published.cumsum(axis=1)[:, None, :-1]).sum(axis=2)
        earned = (rng.random(chosen.shape) < np.take_along_axis(means, chosen, axis=1)).astype(np.float64)
        arms[:, block], rewards[:, block] = chosen, earned
        for arm in range(n_arms):
            successes[:, arm] += (earned * (chosen == arm)).sum(axis=1)
            failures[:, arm] += ((1.0 - earned) * (chosen == arm)).sum(axis=1)
    return AdaptiveLogs(arms, rewards, weights, alpha, beta, strategy.every)
