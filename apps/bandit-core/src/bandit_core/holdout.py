"""What the bandit is worth: the units it decided for beside those that always got the control.

Both sides are rates of rewards in [0, 1], believed as independent Beta distributions with a flat prior. Of the
bandit that is the rate its traffic earned, whatever arms it was made of; it moves while the bandit learns, so this
is a statement about the time that was, not about the arm that is best now.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv

from bandit_core.best_arm import prob_best
from bandit_core.checks import check_number

_NODES, _WEIGHTS = leggauss(64)
_TAIL: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Side:
    """Rewards of one side: how many, and what they add up to. ValueError unless 0 <= total <= count."""

    count: float
    total: float

    def __post_init__(self) -> None:
        check_number("count", self.count, low=0.0)
        check_number("total", self.total, low=0.0, high=float(self.count))

    @property
    def alpha(self) -> float:
        return 1.0 + self.total

    @property
    def beta(self) -> float:
        return 1.0 + self.count - self.total

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Bandit against control: means of both rates, P(bandit is better), and the relative lift θ_b / θ_c − 1.

    `lift` is its median, `low` and `high` the ends of its equal-tailed credible interval.
    """

    bandit_mean: float
    control_mean: float
    prob_better: float
    lift: float
    low: float
    high: float


def compare(bandit: Side, control: Side, level: float = 0.95) -> Comparison:
    """Return what both sides say. `level` in (0, 1) is that of the interval; ValueError for another."""
    check_number("level", level, low=0.0, high=float(np.nextafter(1.0, 0.0)), exclusive=True)
    tail = (1.0 - level) / 2.0
    low, median, high = (_lift_quantile(bandit, control, probability) for probability in (tail, 0.5, 1.0 - tail))
    better = prob_best([bandit.alpha, control.alpha], [bandit.beta, control.beta])[0]
    return Comparison(bandit.mean, control.mean, float(better), median, low, high)


def _lift_quantile(bandit: Side, control: Side, probability: float) -> float:
    """Return the lift that is not exceeded with that probability.

    P(θ_b <= (1 + r) θ_c) = ∫ f_c(t) F_b((1 + r) t) dt, taken over the control's quantiles u = F_c(t), so that the
    integrand is the bandit's distribution function alone.
    """
    edges = np.concatenate([[_TAIL], np.array([1e-6, 1e-3, 0.02, 0.2, 0.8, 0.98, 0.999, 1 - 1e-6]), [1.0 - _TAIL]])
    half = np.diff(edges) / 2.0
    levels = ((edges[:-1] + half)[:, None] + half[:, None] * _NODES).ravel()
    weights = (half[:, None] * _WEIGHTS).ravel()
    rates = betaincinv(control.alpha, control.beta, levels)

    def below(log_ratio: float) -> float:
        reach = np.minimum(rates * np.exp(log_ratio), 1.0)
        return float(betainc(bandit.alpha, bandit.beta, reach) @ weights) - probability

    return float(np.expm1(brentq(below, -60.0, 60.0, xtol=1e-10)))
