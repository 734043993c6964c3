"""Beliefs about arms that hold while weights and rewards move: what policies and stopping rules are given.

Today's beliefs pool all rewards of an arm. When everybody clicks more in the evening and one arm had most of the
evening's traffic, pooling takes the evening for the arm's merit (Simpson's paradox), and a policy that follows such
beliefs moves traffic by them. Time-robust beliefs compare arms only within versions of the weights (`joint_fit`).

- As long as the weights of the active arms have not moved against each other, they are the exact Beta, or Student t,
  posteriors of the counts.
- Afterwards they are Beta, or Student t, distributions with the mean and the quasi-variance of each arm in the joint
  fit. So every policy, P(best), expected loss, quantiles and subsets of arms work as on any beliefs.

The variance of a reward is that of a Bernoulli reward at the common level, g (1 − g), for rewards in [0, 1], and the
pooled residual variance for others. It is the same for all arms: an arm's own estimate would be least sure of where it
is needed most, in an arm with few rewards.

A difference of two arms has a prior deviation of 0.4 of the level (of min(g, 1 − g), so that success and failure may
change names), and 0.2 standard deviations for rewards of any size. Without it the first chance differences move nearly
all traffic, and what is then compared is too little to correct them while rewards rise. The arms' own priors enter as
observations made before the first version.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.adaptive.joint_fit import fit, level
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.checks import check_number
from bandit_core.gaussian import GaussianBeliefs, GaussianPrior
from bandit_core.policies.base import Beliefs

type Array = NDArray[np.float64]

RATE_SPREAD: Final = 0.4
"""Prior deviation of a difference of two rates, relative to their level."""

VALUE_SPREAD: Final = 0.2
"""Prior deviation of a difference of two means, in standard deviations of a reward."""

NEAREST: Final = 0.01
"""A rate is believed no nearer to 0 or 1 than this share of the level's distance: the normal fit knows no end."""


def rate_beliefs(
    arms: tuple[str, ...],
    sums: PairSums,
    priors: ArrayLike,
    *,
    active: NDArray[np.bool_] | None = None,
    design_effect: float = 1.0,
) -> Beliefs:
    """Return beliefs about the active arms, all unless told, from sums (K,) of K `arms` with rewards in [0, 1].

    `priors` (K, 2) are alpha and beta of each arm before any data. Arms that are not active, such as retired ones,
    still say how levels moved. `design_effect` >= 1 is by how much units that come back blow up variances. ValueError
    for shapes that do not fit.
    """
    chosen = _chosen(arms, sums, active)
    check_number("design_effect", design_effect, low=1.0)
    parameters = rate_parameters(sums, priors, chosen, design_effect=design_effect)
    return Beliefs(_names(arms, chosen), *parameters)


def rate_parameters(
    sums: PairSums, priors: ArrayLike, chosen: NDArray[np.bool_], *, design_effect: float | Array = 1.0
) -> tuple[Array, Array]:
    """Return alpha and beta (..., C) of C chosen arms, for one set of sums or for many at once; see `rate_beliefs`.

    `design_effect` is one number, or (...).
    """
    prior = np.asarray(priors, dtype=np.float64)
    blown_up = np.asarray(design_effect)[..., None]
    alpha = prior[:, 0] + sums.total / blown_up
    beta = prior[:, 1] + (sums.count - sums.total) / blown_up
    pooled = alpha[..., chosen], beta[..., chosen]
    moved = sums.subset(chosen).has_moved
    if not moved.any():
        return pooled
    strength = prior.sum(axis=1)
    g = level(sums, float(prior[:, 0].sum() / strength.sum()))
    joint = fit(
        sums,
        level=g,
        variance=g * (1.0 - g),
        prior_deviation=RATE_SPREAD * np.minimum(g, 1.0 - g),
        prior_total=prior[:, 0],
        prior_count=strength,
        design_effect=design_effect,
    )
    robust = _beta(joint.mean[..., chosen], joint.variances(sums, chosen), g[..., None])
    return np.where(moved[..., None], robust[0], pooled[0]), np.where(moved[..., None], robust[1], pooled[1])


def value_beliefs(
    arms: tuple[str, ...],
    sums: PairSums,
    prior: GaussianPrior,
    *,
    active: NDArray[np.bool_] | None = None,
    design_effect: float = 1.0,
) -> GaussianBeliefs:
    """Return beliefs about the active arms, all unless told, from sums (K,) of K `arms` with rewards of any size.

    `prior` is that of every arm; see `rate_beliefs` for the rest.
    """
    chosen = _chosen(arms, sums, active)
    check_number("design_effect", design_effect, low=1.0)
    mean, scale, freedom = value_parameters(sums, prior, chosen, design_effect=design_effect)
    return GaussianBeliefs(_names(arms, chosen), mean, scale, freedom)


def value_parameters(
    sums: PairSums, prior: GaussianPrior, chosen: NDArray[np.bool_], *, design_effect: float = 1.0
) -> tuple[Array, Array, Array]:
    """Return mean, scale and degrees of freedom (..., C) of C chosen arms, for one set of sums or for many at once."""
    reduced = (each / design_effect for each in (sums.count, sums.total, sums.squares))
    names = tuple(map(str, range(sums.count.size)))
    exact = GaussianBeliefs.of(names, prior, *(each.ravel() for each in reduced))
    pooled = [each.reshape(sums.count.shape)[..., chosen] for each in (exact.mean, exact.scale, exact.freedom)]
    moved = sums.subset(chosen).has_moved
    if not moved.any():
        return pooled[0], pooled[1], pooled[2]
    shape, scale = _residual(sums, prior)
    variance = scale / shape
    count = np.full(sums.count.shape[-1], prior.strength)
    joint = fit(
        sums,
        level=level(sums, prior.mean),
        variance=variance,
        prior_deviation=VALUE_SPREAD * np.sqrt(variance),
        prior_total=prior.mean * count,
        prior_count=count,
        design_effect=design_effect,
    )
    robust = (
        joint.mean[..., chosen],
        np.sqrt(joint.variances(sums, chosen)),
        np.broadcast_to(2.0 * shape[..., None], pooled[2].shape),
    )
    mean, deviation, freedom = (
        np.where(moved[..., None], ours, theirs) for ours, theirs in zip(robust, pooled, strict=True)
    )
    return mean, deviation, freedom


def _residual(sums: PairSums, prior: GaussianPrior) -> tuple[Array, Array]:
    """Return shape and scale (...) of the inverse gamma posterior of the variance around each arm's own mean."""
    observed = np.maximum(sums.count, 1.0)
    deviations = np.maximum(sums.squares - sums.total**2 / observed, 0.0).sum(axis=-1)
    freedom = np.maximum(sums.count - 1.0, 0.0).sum(axis=-1)
    return prior.shape + freedom / 2.0, prior.scale + deviations / 2.0


def _beta(mean: Array, variance: Array, level: Array) -> tuple[Array, Array]:
    """Return alpha and beta with this mean and variance, as far as a rate can have them."""
    place = np.clip(mean, NEAREST * level, 1.0 - NEAREST * (1.0 - level))
    widest = place * (1.0 - place)
    strength = widest / np.minimum(variance, widest / 2.0) - 1.0
    return place * strength, (1.0 - place) * strength


def _chosen(arms: tuple[str, ...], sums: PairSums, active: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if sums.count.shape != (len(arms),):
        raise ValueError(f"sums must be of the {len(arms)} arms, got the shape {sums.count.shape}")
    chosen = np.ones(len(arms), dtype=np.bool_) if active is None else np.asarray(active, dtype=np.bool_)
    if chosen.shape != (len(arms),):
        raise ValueError(f"active must say of each of {len(arms)} arms whether it is, got the shape {chosen.shape}")
    return chosen


def _names(arms: tuple[str, ...], chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(arm for arm, is_chosen in zip(arms, chosen.tolist(), strict=True) if is_chosen)
