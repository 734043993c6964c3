"""Which of some independent normal scores is the highest, and by how much: quadrature in one dimension.

    P(best)_i = ∫ f_i(t) ∏_{j≠i} F_j(t) dt,    expected loss_i = E[(max_{j≠i} X_j − X_i)⁺] = ∫ F_i (1 − ∏_{j≠i} F_j) dt

with f_i and F_i the density and distribution function of score i. The range is cut at places spaced by STEP standard
deviations around every mean, and each panel gets a Gauss–Legendre rule: between the cuts every factor is smooth on the
panel's scale, however different the scores' spreads are. For P(best) it begins where the highest score can lie.

Measured for 2 to 50 scores with spreads from 0.001 to 1 against a dense rule in logarithms: P(best) is off by at most
1e-11, and relatively by at most 1e-5 where it is above 1e-15; expected loss by at most 1e-12 of the scores' range.
"""

from typing import Final

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

type Array = NDArray[np.float64]

REACH: Final = 9.375
"""How many standard deviations from its mean a score is followed: beyond lie less than 1e-20 of it."""

STEP: Final = 1.875
NARROWEST: Final = 1e-9
"""The least spread of a score, relative to the whole range: what is certain is nearly so, and equal scores tie."""

_CUTS: Final = np.linspace(-REACH, REACH, round(2 * REACH / STEP) + 1)
_NODES, _WEIGHTS = leggauss(8)
_DENSITY: Final = 1.0 / np.sqrt(2.0 * np.pi)


def normal_prob_best(mean: ArrayLike, sd: ArrayLike) -> Array:
    """P(score i is the highest) (K,) of K >= 1 independent normal scores with these means and deviations (K,).

    The probabilities sum to 1; a deviation may be 0, and scores that tie for certain share. ValueError for shapes that
    differ, numbers that are not finite, or negative deviations.
    """
    means, deviations, width = _in_units_of_range(mean, sd)
    if len(means) == 1 or width == 0.0:
        return np.full(len(means), 1.0 / len(means))
    nodes, weights = _mesh(means, deviations, float((means - REACH * deviations).max()))
    z = (nodes - means[:, None]) / deviations[:, None]
    density = np.exp(-0.5 * z * z) * (_DENSITY / deviations[:, None])
    unscaled = (density * products_of_others(ndtr(z))) @ weights
    result: Array = unscaled / unscaled.sum()
    return result


def normal_expected_loss(mean: ArrayLike, sd: ArrayLike) -> Array:
    """How much the highest of the other scores exceeds score i on average (K,), counting 0 where it does not.

    In units of the scores; with one score it is 0. Arguments and errors as for `normal_prob_best`.
    """
    means, deviations, width = _in_units_of_range(mean, sd)
    if len(means) == 1 or width == 0.0:
        return np.zeros(len(means))
    nodes, weights = _mesh(means, deviations, float((means - REACH * deviations).min()))
    cdf = ndtr((nodes - means[:, None]) / deviations[:, None])
    loss: Array = width * ((cdf * (1.0 - products_of_others(cdf))) @ weights)
    return loss


def _in_units_of_range(mean: ArrayLike, sd: ArrayLike) -> tuple[Array, Array, float]:
    """Means, the highest being 0, and deviations in units of the range, and the range: tiny scores overflow nothing."""
    means, deviations = np.asarray(mean, dtype=np.float64), np.asarray(sd, dtype=np.float64)
    if means.ndim != 1 or means.shape != deviations.shape or not means.size:
        raise ValueError(f"mean and sd must have one shape (K,), got {means.shape} and {deviations.shape}")
    if not (np.isfinite(means).all() and np.isfinite(deviations).all() and (deviations >= 0.0).all()):
        raise ValueError("means must be finite, and deviations finite and at least 0")
    below, width = means - means.max(), float(np.ptp(means) + deviations.max())
    if width == 0.0:
        return below, deviations, width
    return below / width, np.maximum(deviations / width, NARROWEST), width


def _mesh(means: Array, deviations: Array, low: float) -> tuple[Array, Array]:
    """Nodes and weights (N,) from `low` to where no score lies any more."""
    cuts = np.sort((means[:, None] + deviations[:, None] * _CUTS).ravel())
    cuts = np.concatenate(([low], cuts[cuts > low]))
    half = (cuts[1:] - cuts[:-1]) / 2.0
    nodes = (cuts[:-1] + half)[:, None] + half[:, None] * _NODES
    return nodes.ravel(), (half[:, None] * _WEIGHTS).ravel()


def products_of_others(values: Array) -> Array:
    """Product over all rows but one (K, N), for each one, without a division."""
    before, after = np.ones_like(values), np.ones_like(values)
    np.cumprod(values[:-1], axis=0, out=before[1:])
    after[:-1] = np.cumprod(values[:0:-1], axis=0)[::-1]
    product: Array = before * after
    return product
