"""Sufficient statistics of an evaluation: parts of a log are summed up apart, merged, and give estimate and error."""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from bandit_core.ope.estimators import Contributions
from bandit_core.ope.rounds import Rounds

type Floats = NDArray[np.float64]

BASELINE, GAIN, SHARE, WEIGHT, EARNED = range(5)
"""What is averaged over rounds; EARNED is weight times reward."""

PAIRS: Final = (
    np.array([BASELINE, BASELINE, BASELINE, GAIN, GAIN, SHARE, WEIGHT, EARNED]),
    np.array([BASELINE, GAIN, SHARE, GAIN, SHARE, SHARE, WEIGHT, EARNED]),
)
"""Whose products are summed, in this order."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of n >= 1 rounds: means (5,), and products (8,), the sums of products of deviations from them by PAIRS.

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

        means, products, largest, matches, rewarded = kernels.sum_up(
            rounds.rewards, contributed.gain, contributed.baseline, contributed.share, contributed.weights
        )
        weighted = contributed.weights is not None
        return cls(len(rounds), np.array(means), np.array(products), largest, matches, rewarded, weighted)

    def merge(self, other: Self) -> Self:
        """Return the moments of both sets of rounds (Chan, Golub and LeVeque 1983)."""
        n = self.n + other.n
        apart = other.means - self.means
        left, right = PAIRS
        return type(self)(
            n=n,
            means=self.means + apart * (other.n / n),
            products=self.products + other.products + apart[left] * apart[right] * (self.n * other.n / n),
            largest_weight=max(self.largest_weight, other.largest_weight),
            matches=self.matches + other.matches,
            rewarded=self.rewarded + other.rewarded,
            weighted=self.weighted,
        )

    def variance(self, slopes: Floats) -> float:
        """Return the variance (with n − 1) of slopes (3,) · (baseline, gain, share); n >= 2."""
        left, right = PAIRS
        used = left < WEIGHT
        doubled = np.where(left == right, 1.0, 2.0)[used]
        total = (doubled * slopes[left[used]] * slopes[right[used]]) @ self.products[used]
        return max(float(total), 0.0) / (self.n - 1)

    @property
    def estimate(self) -> float:
        """The estimated mean reward; nan when the estimator normalises and no logged decision has a weight."""
        share = self.means[SHARE]
        return float(self.means[BASELINE] + self.means[GAIN] / share) if share > 0.0 else math.nan

    @property
    def std_error(self) -> float:
        """Standard error of the estimate, for independent rounds, by the delta method; nan for a single round.

        Of rewards that vary by less than a millionth of their mean it loses its digits: subtract a constant from them.
        """
        share = self.means[SHARE]
        if self.n == 1 or not share > 0.0:
            return math.nan
        slopes = np.array([1.0, 1.0 / share, -self.means[GAIN] / share**2])
        return math.sqrt(self.variance(slopes) / self.n)

    @property
    def mean_weight_std_error(self) -> float:
        """Standard error of the mean weight; nan for a single round."""
        return math.sqrt(self._square(WEIGHT) / (self.n - 1) / self.n) if self.n > 1 else math.nan

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
        squares = self._square(column) + square
        return float(self.n * square / squares) if squares > 0.0 else 0.0

    def _square(self, column: int) -> float:
        return float(self.products[(PAIRS[0] == column) & (PAIRS[1] == column)][0])
