"""What segments of the traffic say of an arm, each drawn towards what all of them say together.

The rates θ_s of an arm in its segments are taken as draws from one Beta(m κ, (1 − m) κ), so that the successes of a
segment are beta-binomial (empirical Bayes; Robbins 1956, Efron and Morris 1975, Casella 1985). How much segments differ
is the strength κ. One best estimate of it would not do: for segments that are alike chance puts it far too low half of
the time, and for few segments the data hardly tell. So every result is an average over κ, weighted by the beta-binomial
marginal likelihood: segments are alike (κ = CAP) with a prior probability of ALIKE, else log κ is uniform from the
strength of the arm's own prior on, since no segment is expected farther from the mean than that. Fractional sums of
rewards are taken by the same formula, in which factorials are gamma functions.

The mean m has the arm's own prior and is integrated out as from a normal distribution around its estimate (Laplace;
Kass and Steffey 1989): under κ, n observations of one segment tell as much of it as n (κ + 1) / (n + κ) of independent
ones. Each segment gets a prior from the *others*: with E their effective number of observations and the own prior's,
the variances of m and of θ_s around it add up to a strength of E κ / (E + κ + 1). So like segments are pooled, unlike
ones keep to themselves, a new segment starts informed, and nothing counts twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, softmax

type Array = NDArray[np.float64]

CAP: Final = 1e6
"""The strength of a prior shared by segments that are alike; no strength is above it."""

ALIKE: Final = 0.9
"""Probability before any data that an arm's segments do not differ."""

LOOSEST: Final = 1.0
TIGHTEST: Final = 1e5
"""The strengths considered for segments that differ lie between these."""

GRID: Final = 24


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """Posteriors Beta(alpha, beta) (S, K) of K arms in S segments, and what the segments share.

    Of each arm (K,): `mean` of its shared distribution; `alike`, the probability that its segments do not differ; and
    `strength`, at most CAP, of the shared distribution: 1 / (strength + 1), the share of a reward's variance that lies
    between segments, is averaged over what is believed of it.
    """

    alpha: Array
    beta: Array
    mean: Array
    strength: Array
    alike: Array


def shrink(successes: ArrayLike, trials: ArrayLike, priors: ArrayLike) -> Shrunk:
    """Return the posteriors of K arms in S segments.

    `successes` (S, K), the sums of rewards in [0, 1], need not be whole; `trials` (S, K) are how many there were, and
    `priors` (K, 2) alpha and beta believed of each arm before any data. A posterior is the Beta distribution with the
    mean and variance of the average over κ. ValueError for shapes that do not fit, or unless 0 <= successes <= trials
    and priors are positive.
    """
    won, tried, prior = (np.asarray(each, dtype=np.float64) for each in (successes, trials, priors))
    _check(won, tried, prior)
    strengths, prior_probability = _strengths(prior)
    effective = (strengths + 1.0) / (strengths + np.maximum(tried, 1.0))
    known_won, known = effective * won, effective * tried
    observed = prior.sum(axis=1) + known.sum(axis=1)
    mean = (prior[:, 0] + known_won.sum(axis=1)) / observed
    evidence = _likelihood(won, tried, mean[:, None], strengths) + _belief(prior, mean, observed)
    weights = softmax(evidence + np.log(prior_probability), axis=0)

    of_others = prior.sum(axis=1) + _of_others(known)
    start = (prior[:, 0] + _of_others(known_won)) / of_others
    own = of_others * strengths / (of_others + strengths + 1.0)
    alpha, beta = _averaged(start * own + won, (1.0 - start) * own + (tried - won), weights[:, None])
    return Shrunk(
        alpha,
        beta,
        mean=(weights * mean).sum(axis=0),
        strength=np.minimum(1.0 / (weights / (strengths[:, 0] + 1.0)).sum(axis=0) - 1.0, CAP),
        alike=weights[-1],
    )


def _strengths(prior: Array) -> tuple[Array, Array]:
    """Return the strengths considered of each arm (GRID + 1, 1, K), and their prior probabilities (GRID + 1, 1)."""
    loosest = np.clip(prior.sum(axis=1), LOOSEST, TIGHTEST)
    grid = np.concatenate([np.geomspace(loosest, TIGHTEST, GRID), np.full((1, len(prior)), CAP)])
    prior_probability = np.append(np.full(GRID, (1.0 - ALIKE) / GRID), ALIKE)
    return grid[:, None], prior_probability[:, None]


def _likelihood(won: Array, tried: Array, mean: Array, strengths: Array) -> Array:
    """Return the log beta-binomial likelihood of each strength (GRID + 1, K) at its mean (GRID + 1, 1, K)."""
    alpha = mean * strengths
    beta = strengths - alpha
    likelihood: Array = (betaln(alpha + won, beta + tried - won) - betaln(alpha, beta)).sum(axis=1)
    return likelihood


def _belief(prior: Array, mean: Array, observed: Array) -> Array:
    """Return what integrating the mean out on the logit axis adds to the log likelihood: its prior, and its width."""
    log_prior = prior[:, 0] * np.log(mean) + prior[:, 1] * np.log1p(-mean)
    belief: Array = log_prior - 0.5 * np.log(mean * (1.0 - mean) * observed)
    return belief


def _averaged(alpha: Array, beta: Array, weights: Array) -> tuple[Array, Array]:
    """Return the Beta distributions (S, K) with the mean and variance of mixtures (strengths, S, K)."""
    total = alpha + beta
    means = alpha / total
    mean = (weights * means).sum(axis=0)
    within = (weights * means * (beta / total) / (total + 1.0)).sum(axis=0)
    variance = within + (weights * (means - mean) ** 2).sum(axis=0)
    strength = mean * (1.0 - mean) / variance - 1.0
    return mean * strength, (1.0 - mean) * strength


def _of_others(values: Array) -> Array:
    """Sum over all segments but one, for each one, without a subtraction that could leave less than nothing."""
    before, after = np.zeros_like(values), np.zeros_like(values)
    np.cumsum(values[:, :-1], axis=1, out=before[:, 1:])
    after[:, :-1] = np.cumsum(values[:, :0:-1], axis=1)[:, ::-1]
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
