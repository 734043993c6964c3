"""Sufficient statistics of an evaluation: parts of a log are summed up apart, merged, and give estimate and error."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bandit_core.ope.estimators import Contributions
from bandit_core.ope.rounds import Rounds

type Floats = NDArray[np.float64]

BASELINE, GAIN, SHARE, WEIGHT, EARNED = range(5)
"""What is averaged over rounds; EARNED is weight times reward."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of n >= 1 rounds: means (5,) and centered sums of products (5, 5) of what the rounds contribute.

    matches: rounds of positive weight. rewarded: those of them whose reward is not 0. `weighted` is False for an
    estimator that uses no weights.
    """

    n: int
    means: Floats
    products: Floats
    largest_weight: float
    matches: int
    rewarded: int
    weighted: bool

    @classmethod
    def of(cls, rounds: Rounds, contributed: Contributions) -> Self:
        """Return the moments of some rounds and of what they contribute to an estimate."""
        from bandit_core.ope import kernels

        weights = contributed.weights
        columns = np.zeros((5, len(rounds)))
        columns[:WEIGHT] = contributed.columns()
        if weights is not None:
            columns[WEIGHT] = weights
            np.multiply(weights, rounds.rewards, out=columns[EARNED])
        means, products = np.empty(5), np.empty((5, 5))
        kernels.centered_products(columns, means, products)
        return cls(
            n=len(rounds),
            means=means,
            products=products,
            largest_weight=float(columns[WEIGHT].max()),
            matches=int(np.count_nonzero(columns[WEIGHT])),
            rewarded=int(np.count_nonzero(columns[EARNED])),
            weighted=weights is not None,
        )

    def merge(self, other: Self) -> Self:
        """Return the moments of both sets of rounds (Chan, Golub and LeVeque 1983)."""
        n = self.n + other.n
        apart = other.means - self.means
        return type(self)(
            n=n,
            means=self.means + apart * (other.n / n),
            products=self.products + other.products + np.outer(apart, apart) * (self.n * other.n / n),
            largest_weight=max(self.largest_weight, other.largest_weight),
            matches=self.matches + other.matches,
            rewarded=self.rewarded + other.rewarded,
            weighted=self.weighted,
        )

    @property
    def estimate(self) -> float:
        """The estimated mean reward; nan when the estimator normalises and no logged decision has a weight."""
        share = self.means[SHARE]
        return float(self.means[BASELINE] + self.means[GAIN] / share) if share > 0.0 else math.nan

    @property
    def std_error(self) -> float:
        """Standard error of the estimate, for independent rounds, by the delta method; nan for a single round."""
        share = self.means[SHARE]
        if self.n == 1 or not share > 0.0:
            return math.nan
        slopes = np.array([1.0, 1.0 / share, -self.means[GAIN] / share**2])
        variance = slopes @ self.products[:WEIGHT, :WEIGHT] @ slopes / (self.n - 1)
        return math.sqrt(max(float(variance), 0.0) / self.n)

    @property
    def mean_weight_std_error(self) -> float:
        """Standard error of the mean weight; nan for a single round."""
        return math.sqrt(float(self.products[WEIGHT, WEIGHT]) / (self.n - 1) / self.n) if self.n > 1 else math.nan

    @property
    def ess(self) -> float:
        """Effective sample size (Σw)² / Σw² of the weights as used; n where the estimator has none."""
        return self._effective(WEIGHT) if self.weighted else float(self.n)

    @property
    def accepted(self) -> float:
        """Expected number of rounds that rejection sampling keeps, Σ w / max w; 0 where all weights are 0."""
        return self.n * float(self.means[WEIGHT]) / self.largest_weight if self.largest_weight > 0.0 else 0.0

    @property
    def effective_rewarded(self) -> float:
        """Effective number of rewarded matches, (Σ w r)² / Σ (w r)²; n where the estimator has no weights.

        For a deterministic policy on uniformly logged arms and rewards of 0 or 1 it is their number.
        """
        return self._effective(EARNED) if self.weighted else float(self.n)

    def _effective(self, column: int) -> float:
        square = self.n * self.means[column] ** 2
        squares = self.products[column, column] + square
        return float(self.n * square / squares) if squares > 0.0 else 0.0
