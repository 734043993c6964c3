"""How much better each arm is than the others, from all comparisons within versions at once.

With b = Σ (s_i − w_i s_v) and L = Σ n_v (diag(w) − w wᵀ) (`pair_sums`), θ the arms' means less a common level g, and σ²
the variance of a reward around g,

    b − g c ~ N(L θ, σ² L),        θ ~ N(0, (τ² / 2) I),

so the posterior of θ has the precision L / σ² + 2 I / τ² (Bayesian linear regression). c = Σ (n_i − w_i n_v) is 0 but
for chance; subtracting g c takes away what the level adds to that chance. τ is the prior deviation of a difference of
two arms.

The level is that of the times at which arms were compared, Σ qr / Σ q over all pairs: these are also the times whose
variance counts.

Policies take independent arms. Their variances v_i are such that v_i + v_j is the posterior variance of θ_i − θ_j as
nearly as possible: quasi-variances (Firth and de Menezes 2004, "Quasi-variances", Biometrika 91), by least squares over
all pairs, which have a closed form. For two arms only the sum is determined; it is split like 1 / n_e.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit_core.adaptive.pair_sums import PairSums

type Array = NDArray[np.float64]

LEAST_SHARE: Final = 0.02
"""A quasi-variance is at least this share of the largest posterior variance of a difference of its arm."""


@dataclass(frozen=True, slots=True, eq=False)
class JointFit:
    """Posterior of the arms' means: `mean` (..., K), and `covariance` (..., K, K) of them apart from the level."""

    mean: Array
    covariance: Array

    def variances(self, sums: PairSums, chosen: NDArray[np.bool_]) -> Array:
        """Return the quasi-variances (..., C) of the C chosen arms."""
        places = np.nonzero(chosen)[0]
        inside = self.covariance[..., places[:, None], places]
        own = np.diagonal(inside, axis1=-2, axis2=-1)
        differences = np.maximum(own[..., :, None] + own[..., None, :] - 2.0 * inside, 0.0)
        count = len(places)
        if count == 1:
            return np.array(own)
        if count == 2:
            sizes = sums.effective_size[..., places[:, None], places].sum(axis=-1) + 1.0
            parts = (1.0 / sizes) / (1.0 / sizes).sum(axis=-1, keepdims=True)
            split: Array = parts * differences[..., 0, 1, None]
            return split
        average = differences.sum(axis=(-2, -1)) / (2.0 * (count - 1))
        quasi = (differences.sum(axis=-1) - average[..., None]) / (count - 2)
        least: Array = np.maximum(quasi, LEAST_SHARE * differences.max(axis=-1))
        return least


def level(sums: PairSums, before: float) -> Array:
    """Return the mean reward (...) of the times at which arms were compared; `before` counts as one reward."""
    total, count = sums.qr.sum(axis=(-2, -1)), sums.q.sum(axis=(-2, -1))
    pairs = max(sums.count.shape[-1] - 1, 1)
    result: Array = (total / pairs + before) / (count / pairs + 1.0)
    return result


def fit(
    sums: PairSums,
    *,
    level: Array,
    variance: Array,
    prior_deviation: Array,
    prior_total: Array,
    prior_count: Array,
    design_effect: float | Array = 1.0,
) -> JointFit:
    """Return the joint posterior. `level`, `variance` and `prior_deviation` are (...).

    `prior_count` (K,) observations with the sums `prior_total` enter as a version of their own, with weights like the
    counts: what was believed of the arms before. Under a design effect an observation counts for 1 / `design_effect`.
    """
    share = prior_count / prior_count.sum()
    before = prior_count.sum() * (np.diag(share) - np.outer(share, share))
    blown_up = np.asarray(design_effect)[..., None]
    information = sums.information / blown_up[..., None] + before
    observed = (sums.centred_total - level[..., None] * sums.centred_count) / blown_up
    observed = observed + (prior_total - share * prior_total.sum())
    identity = np.eye(len(share))
    precision = information / variance[..., None, None] + identity * (2.0 / prior_deviation[..., None, None] ** 2)
    covariance = np.linalg.inv(precision)
    theta = (covariance @ (observed / variance[..., None])[..., None])[..., 0]
    mean = _placed(sums, theta, prior_total.sum() / prior_count.sum())
    return JointFit(mean, covariance)


def _placed(sums: PairSums, theta: Array, before: float) -> Array:
    """Return θ (..., K) moved so that arms that earn it would have earned what was earned; `before` counts as one."""
    decisions = sums.count.sum(axis=-1, keepdims=True) + 1.0
    earned = sums.total.sum(axis=-1, keepdims=True) + before
    mean: Array = theta + (earned - (sums.count * theta).sum(axis=-1, keepdims=True)) / decisions
    return mean
