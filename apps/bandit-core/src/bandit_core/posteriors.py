"""What is believed about an arm: Beta posteriors of a reward in [0, 1], with and without forgetting.

An arm's unknown success rate θ has a Beta(α, β) prior. A reward r in [0, 1] adds r to α and 1 − r to β: for r in {0, 1}
this is Bayes' rule for Bernoulli rewards; for fractional r it has the same distribution of α and β as replacing r by a
coin that lands on 1 with probability r, in expectation (Agrawal and Goyal 2012, "Analysis of Thompson sampling for the
multi-armed bandit problem", section 1.1). The prior is kept apart from the counts, so that counts can be merged
without counting the prior twice, and forgotten without forgetting the prior.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincc, betainccinv, betaincinv, betaln, xlog1py, xlogy

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
        for name in ("prior_alpha", "prior_beta"):
            _require_positive(name, getattr(self, name))
        for name in ("successes", "failures"):
            _require_count(name, getattr(self, name))

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

    def update(self, reward: float) -> Self:
        """Belief after one more reward in [0, 1]; ValueError outside."""
        _require_share("reward", reward)
        return replace(self, successes=self.successes + reward, failures=self.failures + (1.0 - reward))

    def merge(self, other: Self) -> Self:
        """Belief from both sets of rewards; ValueError unless the priors are the same."""
        _require_same(self, other, "prior_alpha", "prior_beta")
        return replace(self, successes=self.successes + other.successes, failures=self.failures + other.failures)

    def decay(self, factor: float) -> Self:
        """Belief when every reward counts only `factor` in [0, 1] of what it did: 0 leaves the prior, 1 changes nothing."""
        _require_share("factor", factor)
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
            raise ValueError(f"level must lie strictly between 0 and 1, for example 0.95, but is {level}")
        if kind == "equal_tailed":
            return _tails(self.alpha, self.beta, lower=(1.0 - level) / 2.0, upper=(1.0 - level) / 2.0)
        if kind == "highest_density":
            return _shortest(self.alpha, self.beta, level)
        raise ValueError(f"kind must be 'equal_tailed' or 'highest_density', but is {kind!r}")

    def density(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability density at each x: 0 outside [0, 1], infinite at an end where α or β is below 1."""
        return np.where((x >= 0.0) & (x <= 1.0), np.exp(_log_density(self.alpha, self.beta, np.clip(x, 0.0, 1.0))), 0.0)

    def curve(self, points: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Places x (points,) and density (points,) for drawing: finite everywhere, at least 0.9998 of the mass covered.

        The drawn range is cut into `points` equal cells; x are their centres, and the density is each cell's
        probability divided by its width. So the drawn area is the covered probability even where the density itself is
        infinite (α or β below 1), and for a smooth density the difference to `density(x)` is not visible.
        """
        if points < 1:
            raise ValueError(f"points must be at least 1, but is {points}")
        covered = _tails(self.alpha, self.beta, lower=CURVE_TAIL, upper=CURVE_TAIL)
        edges = np.linspace(covered.low, covered.high, points + 1)
        centres = (edges[:-1] + edges[1:]) / 2.0
        return centres, _probability_between(self.alpha, self.beta, edges) / np.diff(edges)


@dataclass(frozen=True, slots=True)
class DecayedBeta:
    """A Beta posterior that forgets: a reward's weight halves with every `half_life` seconds of age.

    Forward decay (Cormode, Shkapenyuk, Srivastava and Xu 2009, "Forward decay: a practical time decay model for
    streaming systems", ICDE): a reward at time t enters with weight g(t − landmark), fixed when it arrives, and a sum
    read at time T is divided by g(T − landmark). With g(n) = 2^(n / half_life) the result does not depend on the order
    of arrival (up to rounding), late events need no special case, and another landmark only multiplies the sums by a
    constant. The landmark is therefore kept at the newest event: no weight exceeds 1 and nothing can overflow.

    Times and `half_life` are in seconds of one clock; `successes` and `failures` are the sums as seen at `landmark`.
    """

    half_life: float
    landmark: float
    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    successes: float = 0.0
    failures: float = 0.0

    def __post_init__(self) -> None:
        _require_positive("half_life", self.half_life)
        _require_finite("landmark", self.landmark)
        self._at_landmark()

    def update(self, reward: float, at: float) -> Self:
        """Belief after a reward in [0, 1] that happened at time `at`, be it newer or older than what is known."""
        _require_share("reward", reward)
        _require_finite("at", at)
        moved = self._with_landmark(max(self.landmark, at))
        weight = _remaining(moved.landmark - at, self.half_life)
        return replace(
            moved,
            successes=moved.successes + weight * reward,
            failures=moved.failures + weight * (1.0 - reward),
        )

    def merge(self, other: Self) -> Self:
        """Belief from both sets of rewards; ValueError unless prior and half-life are the same."""
        _require_same(self, other, "prior_alpha", "prior_beta", "half_life")
        landmark = max(self.landmark, other.landmark)
        mine, theirs = self._with_landmark(landmark), other._with_landmark(landmark)
        return replace(mine, successes=mine.successes + theirs.successes, failures=mine.failures + theirs.failures)

    def at(self, time: float) -> BetaPosterior:
        """Belief at `time`. A time before the newest event (clocks differ) is answered as of that event."""
        _require_finite("time", time)
        return self._with_landmark(max(self.landmark, time))._at_landmark()

    def _with_landmark(self, landmark: float) -> Self:
        factor = _remaining(landmark - self.landmark, self.half_life)
        return replace(self, landmark=landmark, successes=self.successes * factor, failures=self.failures * factor)

    def _at_landmark(self) -> BetaPosterior:
        return BetaPosterior(self.prior_alpha, self.prior_beta, self.successes, self.failures)


def _remaining(age: float, half_life: float) -> float:
    return math.exp2(-age / half_life)


def _log_density(alpha: float, beta: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return xlogy(alpha - 1.0, x) + xlog1py(beta - 1.0, -x) - betaln(alpha, beta)


def _tails(alpha: float, beta: float, *, lower: float, upper: float) -> Interval:
    """Interval that leaves the given probabilities below and above it."""
    return Interval(float(betaincinv(alpha, beta, lower)), float(betainccinv(alpha, beta, upper)))


def _probability_between(alpha: float, beta: float, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each cell, from whichever tail is smaller there, so that differences do not cancel."""
    below, above = betainc(alpha, beta, edges), betaincc(alpha, beta, edges)
    return np.where(below[1:] < above[:-1], np.diff(below), -np.diff(above))


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

    def excess_at_low_end(lower: float) -> float:
        ends = _tails(alpha, beta, lower=lower, upper=tail - lower)
        low, high = _log_density(alpha, beta, np.array([ends.low, ends.high]))
        return float(np.clip(low - high, -1e300, 1e300))

    lower = brentq(excess_at_low_end, 0.0, tail, xtol=1e-14 * tail)
    return _tails(alpha, beta, lower=lower, upper=tail - lower)


def _require_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, but is {value}")


def _require_positive(name: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, but is {value}")


def _require_count(name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, but is {value}")


def _require_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], but is {value}")


def _require_same(mine: object, theirs: object, *names: str) -> None:
    for name in names:
        if getattr(mine, name) != getattr(theirs, name):
            raise ValueError(
                f"cannot merge posteriors whose {name} differs ({getattr(mine, name)} and {getattr(theirs, name)}): "
                "they describe different experiments"
            )
