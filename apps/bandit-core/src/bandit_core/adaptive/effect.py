"""By how much arms differ, with intervals that hold however often one looks.

The difference of a pair is Σqr_ij / Σq_ij − Σqr_ji / Σq_ji (`pair_sums`): that of the running averages of both arms,
over the times at which both were drawn. With n_e the effective sizes, I = 1 / (1 / n_e,ij + 1 / n_e,ji) and σ² the
variance of a reward, its variance is σ² / I, and

    half width = σ √(2 (I + 1 / ρ²) log(√(I ρ² + 1) / α)) / I

bounds it at all looks together with probability 1 − α: the normal-mixture confidence sequence (Robbins 1970,
"Statistical methods related to the law of the iterated logarithm"; Howard, Ramdas, McAuliffe and Sekhon 2021,
"Time-uniform, nonparametric, nonasymptotic confidence sequences"), in its asymptotic form with an estimated variance
(Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence
sequences"). ρ makes it tightest at I = TIGHTEST_AT, which an even split of two arms has after 5,000 decisions.

An interval speaks of the average so far. After the better arm has changed, it names the past winner for a while.

An arm has won once its difference to every rival is above `min_effect` for sure. With K arms each pair is bounded at
2 (1 − confidence) / K: a false winner has to beat the best arm, or in a tie the next one, and each pair errs to one
side with half of its α. All K − 1 intervals of a comparison with one arm hold together at (1 − confidence) / (K − 1).

σ² is estimated from both arms of a pair, weighted by effective size, around their common mean. That of binary rewards
is g (1 − g) at the level g of the times compared.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.checks import check_number

type Array = NDArray[np.float64]

TIGHTEST_AT: Final = 1_250.0
FEWEST_DECISIONS: Final = 500
FEWEST_OF_EACH: Final = 20
"""A sequence begins once a pair has so many decisions and, if rewards are rates, so many successes and failures.

Under a design effect it takes as many times more.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Differences of K arms, row less column (..., K, K); for one set of sums or for many at once.

    Attributes:
        difference: Estimates; 0 on the diagonal and where two arms were never drawn in one version.
        variance: σ² of a reward, times the design effect.
        information: I of each pair: decisions of an even split count for a quarter each.
        begun: Whether there is enough data for the sequence's normal approximation.
    """

    difference: Array
    variance: Array
    information: Array
    begun: NDArray[np.bool_]

    @property
    def deviation(self) -> Array:
        """Standard error of each difference; infinite where nothing is known."""
        variance = np.divide(
            self.variance, self.information, out=np.full_like(self.information, np.inf), where=self.information > 0.0
        )
        result: Array = np.sqrt(variance)
        return result

    def half_width(self, error: float) -> Array:
        """Return the half width that holds at all looks but for a probability of `error`, infinite before it begins."""
        check_number("error", error, low=0.0, high=float(np.nextafter(1.0, 0.0)), exclusive=True)
        rate = mixture_rate(error)
        known = self.begun & (self.information > 0.0)
        info = np.where(known, self.information, 1.0)
        width = np.sqrt(2.0 * (info + 1.0 / rate) * np.log(np.sqrt(info * rate + 1.0) / error)) / info
        result: Array = np.where(known, np.sqrt(self.variance) * width, np.inf)
        return result

    def fixed_half_width(self, error: float) -> Array:
        """Return the half width of an interval for a single look at a time fixed beforehand."""
        check_number("error", error, low=0.0, high=float(np.nextafter(1.0, 0.0)), exclusive=True)
        result: Array = -float(ndtri(error / 2.0)) * self.deviation
        return result

    def advantage(self, confidence: float) -> Array:
        """Return what each arm (..., K) is ahead of its nearest rival at least, at all looks; −∞ before it is known.

        It is positive for at most one arm, and for an arm that is not best only with a probability of at most
        1 − `confidence`, ever.
        """
        lower = self.difference - self.half_width(self._error_of_pair(confidence))
        ahead = self._over_rivals(lower)
        return np.where(np.isposinf(ahead), -np.inf, ahead)

    def confidence(self, asked: float, min_effect: float = 0.0) -> Array:
        """Return the confidence (..., K) that each arm is ahead of every rival by more than `min_effect`, at all looks.

        It is at least `asked` exactly when `advantage(asked)` is at least `min_effect`: 1 less the always valid p-value
        (Johari, Koomen, Pekelis and Walsh 2022, "Always valid inference", Operations Research 70) of the mixture that
        is made for `asked`, corrected for the number of arms. 0 for a single arm, and before the sequence begins.
        """
        error = self._error_of_pair(asked)
        rate = mixture_rate(error)
        known = self.begun & (self.information > 0.0) & (self.variance > 0.0)
        info, variance = np.where(known, self.information, 1.0), np.where(known, self.variance, 1.0)
        ahead = np.where(known, np.maximum(self.difference - min_effect, 0.0), 0.0)
        log_p = 0.5 * np.log1p(info * rate) - ahead**2 * info**2 / (2.0 * variance * (info + 1.0 / rate))
        p = np.exp(np.minimum(log_p, 0.0)) * (1.0 - asked) / error
        least = self._over_rivals(1.0 - np.minimum(np.where(ahead > 0.0, p, 1.0), 1.0))
        result: Array = np.where(np.isposinf(least), 0.0, least)
        return result

    def progress(self, confidence: float, min_effect: float = 0.0) -> Array:
        """Return how much of the data (..., K) each arm has that it needs to win, if what is seen is true, 0 to 1.

        A half width shrinks about like one over the root of the data.
        """
        half = self.half_width(self._error_of_pair(confidence))
        share = self._over_rivals(np.clip((self.difference - min_effect) / half, 0.0, 1.0) ** 2)
        result: Array = np.where(np.isposinf(share), 0.0, share)
        return result

    def _error_of_pair(self, confidence: float) -> float:
        arms = int(self.difference.shape[-1])
        return 2.0 * (1.0 - confidence) / max(arms, 2)

    @staticmethod
    def _over_rivals(values: Array) -> Array:
        """Return the least value of each row, its own column apart: ∞ for a single arm."""
        least: Array = np.where(np.eye(values.shape[-1], dtype=np.bool_), np.inf, values).min(axis=-1)
        return least

    def prob_better(self) -> Array:
        """Return P(row is better than column) by a flat prior; ½ where nothing is known. It is no sequence."""
        z = np.divide(
            self.difference, self.deviation, out=np.zeros_like(self.difference), where=np.isfinite(self.deviation)
        )
        result: Array = ndtr(z)
        return result

    def subset(self, chosen: ArrayLike) -> "Effects":
        """Return the effects among the chosen arms, indices or a mask (K,)."""
        keep = np.arange(self.difference.shape[-1])[np.asarray(chosen)]
        rows = keep[:, None]
        return Effects(
            self.difference[..., rows, keep],
            self.variance[..., rows, keep],
            self.information[..., rows, keep],
            self.begun[..., rows, keep],
        )


def effects(sums: PairSums, *, rates: bool = True, design_effect: float | Array = 1.0) -> Effects:
    """Return the effects of all pairs of arms; `rates` says whether rewards lie in [0, 1].

    `design_effect` >= 1, one for all pairs or (..., K, K), is by how much units that come back blow up variances.
    """
    size, mean = sums.effective_size, sums.mean
    both = size + _across(size)
    known = np.minimum(size, _across(size)) > 0.0
    center = _weighted(size, mean, both)
    square = np.divide(sums.q2r2, sums.q2, out=np.zeros_like(size), where=sums.q2 > 0.0)
    first = np.divide(sums.q2r, sums.q2, out=np.zeros_like(size), where=sums.q2 > 0.0)
    variance = _weighted(size, square, both) - 2.0 * center * _weighted(size, first, both) + center * center
    information = np.divide(size * _across(size), both, out=np.zeros_like(size), where=known)
    return Effects(
        difference=np.where(known, mean - _across(mean), 0.0),
        variance=np.maximum(variance, 0.0) * design_effect,
        information=information,
        begun=_begun(sums, np.asarray(design_effect, dtype=np.float64), rates=rates),
    )


def mixture_rate(error: float) -> float:
    """Return ρ² that makes the sequence tightest at TIGHTEST_AT (Howard et al. 2021, section 3.5)."""
    log_error = -2.0 * math.log(error)
    return (log_error + math.log(log_error + 1.0)) / TIGHTEST_AT


def _begun(sums: PairSums, design_effect: Array, *, rates: bool) -> NDArray[np.bool_]:
    decisions = sums.count[..., :, None] + sums.count[..., None, :]
    begun = decisions >= FEWEST_DECISIONS * design_effect
    if rates:
        won = sums.total[..., :, None] + sums.total[..., None, :]
        begun &= np.minimum(won, decisions - won) >= FEWEST_OF_EACH * design_effect
    return begun


def _weighted(size: Array, value: Array, both: Array) -> Array:
    """Return the average of a pair's two values, weighted by effective size."""
    product = size * value
    return np.divide(product + _across(product), both, out=np.zeros_like(size), where=both > 0.0)


def _across(values: Array) -> Array:
    return np.swapaxes(values, -1, -2)
