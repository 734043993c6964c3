"""What segments of the traffic say of an arm, each drawn towards what all of them say together.

The rates θ_s of an arm in its segments are taken as draws from one Beta(m κ, (1 − m) κ): the successes of a segment are
beta-binomial (empirical Bayes; Robbins 1956, Efron and Morris 1975, Casella 1985). The strength κ is estimated by their
marginal likelihood, with the mean m profiled out. Segments that are alike have no largest likelihood at a finite κ, and
chance alone puts it at one half of the time: so the segments count as alike (κ = CAP) unless the likelihood is
better by EVIDENCE, about the 0.2% tail under equal rates.

Each segment then gets a prior from the *others*: their effective number of observations E, together with the arm's own
prior, says how well m is known, and 1 / (strength + 1) = 1 / (E + 1) + 1 / (κ + 1) adds that to how much segments
differ. So like segments are pooled exactly, unlike ones keep to themselves, a new segment starts informed, and
nothing is counted twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln

type Array = NDArray[np.float64]

CAP: Final = 1e6
"""The strength of a prior shared by segments that are alike."""

EVIDENCE: Final = 4.0
"""How much larger the log-likelihood must be before segments count as different."""

_STRENGTHS: Final = np.concatenate([np.geomspace(0.5, 1e5, 40), [CAP]])


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """Posteriors Beta(alpha, beta) (S, K) of K arms in S segments, and what they share.

    `mean` and `strength` (K,) are those of each arm's shared distribution; a strength of CAP: its segments are alike.
    """

    alpha: Array
    beta: Array
    mean: Array
    strength: Array


def shrink(successes: ArrayLike, trials: ArrayLike, priors: ArrayLike) -> Shrunk:
    """Return the posteriors of K arms in S segments.

    `successes` (S, K), the sums of rewards in [0, 1], need not be whole; `trials` (S, K) are how many there were, and
    `priors` (K, 2) alpha and beta believed of each arm before any data. ValueError for shapes that do not fit, or
    unless 0 <= successes <= trials and priors are positive.
    """
    won, tried, prior = (np.asarray(each, dtype=np.float64) for each in (successes, trials, priors))
    _check(won, tried, prior)
    strength = _strengths(won, tried, prior)
    effective = (strength + 1.0) / (strength + np.maximum(tried, 1.0))
    known_won = prior[:, 0] + _of_others(effective * won)
    known = prior.sum(axis=1) + _of_others(effective * tried)
    mean = known_won / known
    own = 1.0 / (1.0 / (known + 1.0) + 1.0 / (strength + 1.0)) - 1.0
    shared = (prior[:, 0] + (effective * won).sum(axis=0)) / (prior.sum(axis=1) + (effective * tried).sum(axis=0))
    return Shrunk(mean * own + won, (1.0 - mean) * own + tried - won, shared, strength)


def _strengths(won: Array, tried: Array, prior: Array) -> Array:
    """Return each arm's strength (K,)."""
    strengths = _STRENGTHS[:, None, None]
    effective = (strengths + 1.0) / (strengths + np.maximum(tried, 1.0))
    mean = (prior[:, 0] + (effective * won).sum(axis=1)) / (prior.sum(axis=1) + (effective * tried).sum(axis=1))
    alpha = mean[:, None] * strengths
    beta = strengths - alpha
    likelihood = (betaln(alpha + won, beta + tried - won) - betaln(alpha, beta)).sum(axis=1)
    best = likelihood.argmax(axis=0)
    gained = np.take_along_axis(likelihood, best[None], axis=0)[0] - likelihood[-1]
    strength: Array = np.where(gained > EVIDENCE, _STRENGTHS[best], CAP)
    return strength


def _of_others(values: Array) -> Array:
    """Sum over all rows but one (S, K), for each one, without a subtraction that could leave less than nothing."""
    before, after = np.zeros_like(values), np.zeros_like(values)
    np.cumsum(values[:-1], axis=0, out=before[1:])
    after[:-1] = np.cumsum(values[:0:-1], axis=0)[::-1]
    total: Array = before + after
    return total


def _check(won: Array, tried: Array, prior: Array) -> None:
    if won.ndim != 2 or won.shape != tried.shape or prior.shape != (won.shape[1], 2):
        raise ValueError(
            f"successes and trials must be (S, K) and priors (K, 2), got {won.shape}, {tried.shape}, {prior.shape}"
        )
    # A NaN compares false with everything, so it is refused too.
    if not (np.all(won >= 0.0) and np.all(won <= tried) and np.isfinite(tried).all()):
        raise ValueError("successes must lie between 0 and trials, which must be finite")
    if not np.all(prior > 0.0):
        raise ValueError("priors must be positive")
