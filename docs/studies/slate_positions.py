"""Slates whose later positions are looked at less often, judged by beliefs that know nothing of positions.

A reader looks at position p with probability `examination[p]`, and then takes the arm there with the arm's own rate. A
belief counts every position as a full trial. So the arms that stand in front look better than they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slates:
    """Arms with true rates (K,), shown in slates as long as `examination`; with probability `epsilon` at random."""

    rates: Floats
    examination: Floats
    epsilon: float
    decisions: int
    every: int = 50

    def best_is_on_top(self, runs: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Play independent runs; return whether the best arm has the highest posterior mean at the end of each (runs,).

        Beliefs start from Beta(1, 1) and are published after every `every` decisions.
        """
        arms, k = len(self.rates), len(self.examination)
        won, tried = np.zeros((runs, arms)), np.zeros((runs, arms))
        for _ in range(0, self.decisions, self.every):
            samples = rng.beta(1.0 + won, 1.0 + tried - won, (self.every, runs, arms))
            at_random = rng.random((self.every, runs, 1)) < self.epsilon
            order = np.where(at_random, rng.random(samples.shape), samples).argsort(axis=2)[:, :, ::-1][:, :, :k]
            taken = rng.random(order.shape) < self.rates[order] * self.examination
            for arm in range(arms):
                shown = order == arm
                tried[:, arm] += shown.sum(axis=(0, 2))
                won[:, arm] += (shown & taken).sum(axis=(0, 2))
        means = (1.0 + won) / (2.0 + tried)
        found: NDArray[np.bool_] = means.argmax(axis=1) == self.rates.argmax()
        return found
