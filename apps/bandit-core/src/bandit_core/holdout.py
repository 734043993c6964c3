"""What the bandit is worth: the units it decided for beside those that always got the control.

Both sides are rates of rewards in [0, 1], believed as independent Beta distributions with a flat prior. Of the
bandit that is the rate its traffic earned, whatever arms it was made of; it moves while the bandit learns, so this
is a statement about the time that was, not about the arm that is best now.

A share of the holdout that changed is like weights that moved: `effective_sides` compares both within periods of one
share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.best_arm import prob_best
from bandit_core.checks import check_number

type Floats = NDArray[np.float64]
type Shift = Callable[[Floats, float], Floats]

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
    """Bandit against control: means of both rates, P(bandit is better), the relative lift θ_b / θ_c − 1, θ_b − θ_c.

    `lift` and `difference` are medians, `low` and `high`, `difference_low` and `difference_high` the ends of their
    equal-tailed credible intervals.
    """

    bandit_mean: float
    control_mean: float
    prob_better: float
    lift: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float


def effective_sides(sums: PairSums) -> tuple[Side, Side]:
    """Return bandit and control as of periods of one share: effective sizes, and what they add up to at their means.

    `sums` are those of two arms, the bandit and the holdout, in versions with the weights (1 − share, share). With a
    share that never changed these are the rewards themselves. ValueError for more or fewer than two.
    """
    if sums.count.shape != (2,):
        raise ValueError(f"sums must be of the bandit and of the holdout, got the shape {sums.count.shape}")
    size, total = sums.effective_size, sums.effective_size * np.clip(sums.mean, 0.0, 1.0)
    return Side(float(size[0, 1]), float(total[0, 1])), Side(float(size[1, 0]), float(total[1, 0]))


def prob_better(bandit: Side, control: Side) -> float:
    """Return P(θ_b > θ_c)."""
    return float(prob_best([bandit.alpha, control.alpha], [bandit.beta, control.beta])[0])


def compare(bandit: Side, control: Side, level: float = 0.95) -> Comparison:
    """Return what both sides say. `level` in (0, 1) is that of the intervals; ValueError for another.

    Measured against adaptive integration, an end has its probability within 1e-4 with next to no rewards, and within
    1e-8 as soon as both sides have some.
    """
    check_number("level", level, low=0.0, high=float(np.nextafter(1.0, 0.0)), exclusive=True)
    tail = (1.0 - level) / 2.0
    probabilities = (0.5, tail, 1.0 - tail)
    log_ratios = _quantiles(bandit, control, lambda rates, log_ratio: rates * np.exp(log_ratio), 60.0, probabilities)
    differences = _quantiles(bandit, control, lambda rates, difference: rates + difference, 1.0, probabilities)
    lift, low, high = np.expm1(log_ratios).tolist()
    return Comparison(bandit.mean, control.mean, prob_better(bandit, control), lift, low, high, *differences)


def _quantiles(
    bandit: Side, control: Side, shift: Shift, bound: float, probabilities: Sequence[float]
) -> tuple[float, ...]:
    """Return the quantiles of what `shift` has to add to the control's rate to reach the bandit's, in [-bound, bound].

    P(θ_b <= g(θ_c)) = ∫ f_c(t) F_b(g(t)) dt, with g(t) = t + d for a difference and t exp(d) for a ratio, is taken
    over the control's quantiles u = F_c(t), so that the integrand is the bandit's distribution function alone. The
    side integrated over is the one with more rewards: the integrand of the other way round would be nearly a step.
    """
    if bandit.count > control.count:
        mirrored = _quantiles(control, bandit, shift, bound, [1.0 - probability for probability in probabilities])
        return tuple(-value for value in mirrored)
    edges = np.concatenate([[_TAIL], np.array([1e-6, 1e-3, 0.02, 0.2, 0.8, 0.98, 0.999, 1 - 1e-6]), [1.0 - _TAIL]])
    half = np.diff(edges) / 2.0
    levels = ((edges[:-1] + half)[:, None] + half[:, None] * _NODES).ravel()
    weights = (half[:, None] * _WEIGHTS).ravel()
    rates = betaincinv(control.alpha, control.beta, levels)

    def excess(value: float, probability: float) -> float:
        reached = np.clip(shift(rates, value), 0.0, 1.0)
        return float(betainc(bandit.alpha, bandit.beta, reached) @ weights) - probability

    return tuple(float(brentq(excess, -bound, bound, args=(each,), xtol=1e-10)) for each in probabilities)
