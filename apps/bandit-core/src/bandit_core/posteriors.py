"""What is believed about an arm: Beta posteriors of a reward in [0, 1], with and without forgetting.

An arm's unknown success rate θ has a Beta(α, β) prior. A reward r in [0, 1] adds r to α and 1 − r to β: for r in {0, 1}
this is Bayes' rule for Bernoulli rewards; for fractional r it is the average of what replacing r by a coin that shows 1
with probability r would add (the coin is the extension of Agrawal and Goyal 2012, "Analysis of Thompson sampling for
the multi-armed bandit problem"). The prior is kept apart from the counts, so that counts can be merged without counting
the prior twice, and forgotten without forgetting the prior.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincc, betainccinv, betaincinv, betaln, xlog1py, xlogy

from bandit_core.checks import check_number, check_whole

type IntervalKind = Literal["equal_tailed", "highest_density"]

CURVE_TAIL = 1e-4
"""Probability that a drawn curve may leave out at each end."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A credible interval, 0 <= low <= high <= 1."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class BetaPosterior:
    """Beta(prior_alpha + successes, prior_beta + failures), the belief about one arm's success rate.

    Priors are positive and finite, counts at least 0 and finite; anything else raises ValueError. Counts need not be
    whole: fractional rewards and decay make them real numbers.
    """

    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    successes: float = 0.0
    failures: float = 0.0

    def __post_init__(self) -> None:
        check_number("prior_alpha", self.prior_alpha, low=0.0, exclusive=True)
        check_number("prior_beta", self.prior_beta, low=0.0, exclusive=True)
        check_number("successes", self.successes, low=0.0)
        check_number("failures", self.failures, low=0.0)

    @property
    def alpha(self) -> float:
        return self.prior_alpha + self.successes

    @property
    def beta(self) -> float:
        return self.prior_beta + self.failures

    @property
    def trials(self) -> float:
        """Rewards observed, without the prior."""
        return self.successes + self.failures

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)

    @property
    def variance(self) -> float:
        return self.mean * (self.beta / (self.alpha + self.beta)) / (self.alpha + self.beta + 1.0)

    def update(self, reward: float, *, weight: float = 1.0) -> Self:
        """Belief after one more reward in [0, 1] that counts as `weight` >= 0 rewards."""
        check_number("reward", reward, low=0.0, high=1.0)
        check_number("weight", weight, low=0.0)
        return replace(
            self, successes=self.successes + weight * reward, failures=self.failures + weight * (1.0 - reward)
        )

    def merge(self, other: Self) -> Self:
        """Belief from both sets of rewards; ValueError unless the priors are the same."""
        _require_same(self, other, "prior_alpha", "prior_beta")
        return replace(self, successes=self.successes + other.successes, failures=self.failures + other.failures)

    def decay(self, factor: float) -> Self:
        """Belief when every reward counts `factor` in [0, 1] times what it did; 0 leaves the prior."""
        check_number("factor", factor, low=0.0, high=1.0)
        return replace(self, successes=self.successes * factor, failures=self.failures * factor)

    def interval(self, level: float = 0.95, kind: IntervalKind = "equal_tailed") -> Interval:
        """Interval that holds θ with probability `level`, strictly between 0 and 1.

        `equal_tailed` leaves (1 − level) / 2 on either side. `highest_density` is the shortest interval. Where the
        density has one peak, inside or at an end, that is the set of highest density. Where it is U-shaped (α and β
        both below 1) that set is two pieces, one at each end; the shortest single interval then starts at the end with
        more mass (at 0 when they are equal) and leaves the other end out. The flat Beta(1, 1) has no shortest interval:
        its equal-tailed one is given.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie strictly between 0 and 1, for example 0.95, got {level}")
        if kind == "equal_tailed":
            return _tails(self.alpha, self.beta, lower=(1.0 - level) / 2.0, upper=(1.0 - level) / 2.0)
        if kind == "highest_density":
            return _shortest(self.alpha, self.beta, level)
        raise ValueError(f"kind must be 'equal_tailed' or 'highest_density', got {kind!r}")

    @property
    def log_norm(self) -> float:
        """Natural logarithm of what θ^(α − 1) (1 − θ)^(β − 1) is multiplied by to be a density."""
        return float(-betaln(self.alpha, self.beta))

    def density(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability density at each x: 0 outside [0, 1], infinite at an end where α or β is below 1."""
        return np.where((x >= 0.0) & (x <= 1.0), np.exp(_log_density(self.alpha, self.beta, np.clip(x, 0.0, 1.0))), 0.0)

    def curve(self, points: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Places x (points,) and density (points,) for drawing: finite everywhere, at least 0.9998 of the mass covered.

        The drawn range is cut into `points` equal cells; x are their centres, and the density is each cell's
        probability divided by its width. So the drawn area is the covered probability even where the density itself is
        infinite (α or β below 1), and for a smooth density the difference to `density(x)` is not visible.
        """
        check_whole("points", points, low=1)
        drawn = self._drawn_range()
        edges = np.linspace(drawn.low, drawn.high, points + 1)
        centres = (edges[:-1] + edges[1:]) / 2.0
        return centres, _probability_between(self.alpha, self.beta, edges) / np.diff(edges)

    def _drawn_range(self) -> Interval:
        """Up to an end where the density is infinite; all of [0, 1] when the mass cannot be told from a point."""
        tails = _tails(self.alpha, self.beta, lower=CURVE_TAIL, upper=CURVE_TAIL)
        drawn = Interval(0.0 if self.alpha < 1.0 else tails.low, 1.0 if self.beta < 1.0 else tails.high)
        return drawn if drawn.width > 0.0 else Interval(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class DecayedBeta:
    """A Beta posterior that forgets: a reward's weight halves with every `half_life` seconds of age.

    Forward decay (Cormode, Shkapenyuk, Srivastava and Xu 2009, "Forward decay: a practical time decay model for
    streaming systems", ICDE): a reward at time t enters with weight g(t − landmark), fixed when it arrives, and a sum
    read at time T is divided by g(T − landmark). With g(n) = 2^(n / half_life) the result does not depend on the order
    of arrival (up to rounding), late events need no special case, and another landmark only multiplies the sums by a
    constant. The landmark is therefore kept at the newest event: no weight exceeds 1 and nothing can overflow.

    Times and `half_life` are in seconds of one clock; `posterior` is the belief at `landmark`.
    """

    half_life: float
    landmark: float
    posterior: BetaPosterior = field(default_factory=BetaPosterior)

    def __post_init__(self) -> None:
        check_number("half_life", self.half_life, low=0.0, exclusive=True)
        check_number("landmark", self.landmark, low=-math.inf)

    def update(self, reward: float, at: float) -> Self:
        """Belief after a reward in [0, 1] that happened at time `at`, be it newer or older than what is known."""
        landmark = max(self.landmark, at)
        weight = _remaining(landmark - at, self.half_life)
        return replace(self, landmark=landmark, posterior=self.at(landmark).update(reward, weight=weight))

    def merge(self, other: Self) -> Self:
        """Belief from both sets of rewards; ValueError unless prior and half-life are the same."""
        _require_same(self, other, "half_life")
        landmark = max(self.landmark, other.landmark)
        return replace(self, landmark=landmark, posterior=self.at(landmark).merge(other.at(landmark)))

    def at(self, time: float) -> BetaPosterior:
        """Belief at `time`. A time before the newest event (clocks differ) is answered as of that event."""
        check_number("time", time, low=-math.inf)
        return self.posterior.decay(_remaining(max(time - self.landmark, 0.0), self.half_life))


def _remaining(age: float, half_life: float) -> float:
    return math.exp2(-age / half_life)


def _log_density(alpha: float, beta: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    log_density: NDArray[np.float64] = xlogy(alpha - 1.0, x) + xlog1py(beta - 1.0, -x) - betaln(alpha, beta)
    return log_density


def _tails(alpha: float, beta: float, *, lower: float, upper: float) -> Interval:
    """Interval that leaves the given probabilities below and above it."""
    return Interval(float(betaincinv(alpha, beta, lower)), float(betainccinv(alpha, beta, upper)))


def _probability_between(alpha: float, beta: float, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each cell, from whichever tail is smaller there, so that differences do not cancel."""
    below, above = betainc(alpha, beta, edges), betaincc(alpha, beta, edges)
    cells: NDArray[np.float64] = np.where(below[1:] < above[:-1], np.diff(below), -np.diff(above))
    return cells


def _shortest(alpha: float, beta: float, level: float) -> Interval:
    tail = 1.0 - level
    if alpha > 1.0 and beta > 1.0:
        return _shortest_around_peak(alpha, beta, tail)
    if alpha == beta == 1.0:
        return _tails(alpha, beta, lower=tail / 2.0, upper=tail / 2.0)
    from_zero = Interval(0.0, float(betainccinv(alpha, beta, tail)))
    to_one = Interval(float(betaincinv(alpha, beta, tail)), 1.0)
    return from_zero if from_zero.width <= to_one.width else to_one


def _shortest_around_peak(alpha: float, beta: float, tail: float) -> Interval:
    """Interval of equal density at both ends: shifting it either way would lose more than it gains."""
    peak = np.array([(alpha - 1.0) / (alpha + beta - 2.0)])

    def excess_at_low_end(lower: float) -> float:
        ends = _tails(alpha, beta, lower=lower, upper=tail - lower)
        places = np.array([ends.low, ends.high])
        low, high = np.exp(_log_density(alpha, beta, places) - _log_density(alpha, beta, peak))
        return float(low - high)

    lower = brentq(excess_at_low_end, 0.0, tail, xtol=1e-13 * tail)
    return _tails(alpha, beta, lower=lower, upper=tail - lower)


def _require_same(mine: object, theirs: object, *names: str) -> None:
    for name in names:
        if getattr(mine, name) != getattr(theirs, name):
            raise ValueError(
                f"cannot merge posteriors whose {name} differs ({getattr(mine, name)} and {getattr(theirs, name)}): "
                "they describe different experiments"
            )
