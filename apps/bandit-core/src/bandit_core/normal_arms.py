"""Which of some independent normal scores is the highest, for one context or for many at once.

With f_i and F_i the density and distribution function of score i, and M = ∏ F_j that of the highest one,

    P(best)_i = ∫ f_i ∏_{j≠i} F_j dt = ∫ (f_i / F_i) M dt.

One product serves all scores, so K scores on N nodes cost K · N evaluations. The integral begins where the first score
to end has `REACH` standard deviations left below its mean: from there on every F is above 5e-17, so the division is
safe, and at most that much is cut off. A score that ends before gets 0.

Where the spreads are alike, the integrand is smooth on the scale of all of them, and the midpoint rule converges like
exp(−2π² s² / h²) (Trefethen and Weideman 2014, "The exponentially convergent trapezoidal rule", SIAM Review 56). Where
they are not, Gauss–Legendre panels follow the narrowest score that still moves. As the P(best) of a row sum to 1, so
must the integrals; where the midpoint rule misses that by more than `FINE`, panels take its place.

Measured against a dense rule on 2,400 sets of 2 to 100 scores with ratios of spreads up to 1,000: P(best) is off by at
most 2.4e-13, and by at most 2e-5 of itself near 1e-12.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from bandit_core.quadrature import adapted_mesh

type Array = NDArray[np.float64]

REACH: Final = 8.3
"""How many standard deviations from its mean a score is followed."""

NARROWEST: Final = 1e-12
"""The least spread of a score, relative to the whole range: what is certain is nearly so, and equal scores tie."""

MOST_NODES: Final = 160
"""Up to how many nodes the midpoint rule is tried."""

SMALLEST_RANGE: Final = 1e-280
"""A range below this needs units of its own, so that a deviation's reciprocal does not overflow."""

FINE: Final = 1e-12
VALUES_AT_ONCE: Final = 16_384
"""Values per array when many contexts are computed together: few enough to stay in the processor's cache."""

_DENSITY: Final = 1.0 / np.sqrt(2.0 * np.pi)


def normal_prob_best(mean: ArrayLike, sd: ArrayLike) -> Array:
    """P(score k is the highest) of K >= 1 independent normal scores with these means and deviations.

    Both are (K,), or (N, K) for N sets of scores, and so is the result. The probabilities of a set sum to 1; a
    deviation may be 0, and scores that tie for certain share. ValueError for shapes that differ, numbers that are not
    finite, or negative deviations.
    """
    means, deviations = np.asarray(mean, dtype=np.float64), np.asarray(sd, dtype=np.float64)
    if means.ndim not in (1, 2) or means.shape != deviations.shape or not means.shape[-1]:
        raise ValueError(f"mean and sd must have one shape, (K,) or (N, K), got {means.shape} and {deviations.shape}")
    if means.ndim == 1:
        return _prob_best_of_one(means, deviations)
    _check(means, deviations)
    return _prob_best(means, deviations)


def _check(means: Array, deviations: Array) -> None:
    if not (np.isfinite(means).all() and np.isfinite(deviations).all() and (deviations >= 0.0).all()):
        raise ValueError("means must be finite, and deviations finite and at least 0")


def _prob_best_of_one(mean: Array, sd: Array) -> Array:
    """Return P(best) (K,) as `_prob_best` does: the plan of one set takes less time with Python's own numbers."""
    means, deviations = mean.tolist(), sd.tolist()
    highest = max(means)
    width = max(deviations) + highest - min(means)
    # What is no number or negative, and where no step is found, is left to the way for many.
    if not (SMALLEST_RANGE < width < np.inf and min(deviations) >= 0.0):
        return _prob_best_alone(mean, sd)
    least = NARROWEST * width
    spreads = [max(each, least) for each in deviations]
    low = max(m - REACH * s for m, s in zip(means, spreads, strict=True))
    moving = [(m + REACH * s, s) for m, s in zip(means, spreads, strict=True) if m + REACH * s > low]
    high, narrowest = max(end for end, _ in moving), min(s for _, s in moving)
    nodes = (high - low) / (_step(len(means)) * narrowest)
    if not nodes <= MOST_NODES:
        return _prob_best_alone(mean, sd)
    step = (high - low) / (int(nodes) + 1)
    rate = 1.0 / np.array([spreads])
    nodes_from_low = step * _midpoints(int(nodes) + 1)
    unscaled = _integrals(_scaled(nodes_from_low[None], low - mean[None], rate), rate)[0]
    total = float(unscaled.sum())
    if not abs(total * step * _DENSITY - 1.0) <= FINE:
        return _prob_best_alone(mean, sd)
    result: Array = unscaled / total
    return result


def _prob_best_alone(mean: Array, sd: Array) -> Array:
    _check(mean, sd)
    result: Array = _prob_best(mean[None], sd[None])[0]
    return result


def _prob_best(mean: Array, sd: Array) -> Array:
    """Return P(best) (N, K), each set in units of its range: tiny scores overflow nothing."""
    below = mean - mean.max(axis=1, keepdims=True)
    width = sd.max(axis=1, keepdims=True) - below.min(axis=1, keepdims=True)
    width[width == 0.0] = 1.0
    m, s = below / width, np.maximum(sd / width, NARROWEST)
    reach = REACH * s
    low, ends = (m - reach).max(axis=1), m + reach
    high = ends.max(axis=1)
    narrowest = np.where(ends > low[:, None], s, np.inf).min(axis=1)
    nodes = (high - low) / (_step(m.shape[1]) * narrowest)
    result = np.empty_like(m)
    order = np.argsort(nodes)
    few = int(np.searchsorted(nodes[order], MOST_NODES, side="right"))
    at_once = max(1, VALUES_AT_ONCE // (m.shape[1] * 32))
    rest = [order[few:]]
    for start in range(0, few, at_once):
        part = order[start : min(start + at_once, few)]
        result[part], is_fine = _by_midpoints(m[part], s[part], low[part], high[part], int(nodes[part[-1]]) + 1)
        rest.append(part[~is_fine])
    left = np.concatenate(rest)
    for start in range(0, len(left), at_once):
        part = left[start : start + at_once]
        result[part] = _by_panels(m[part], s[part], low[part], high[part])
    return result


@cache
def _midpoints(count: int) -> Array:
    midpoints: Array = np.arange(count, dtype=np.float64) + 0.5
    return midpoints


@cache
def _step(count: int) -> float:
    """Return the midpoint rule's step in units of the narrowest spread: 0.58 for 2 scores, 0.23 for 100."""
    return float(0.64 / (1.0 + 0.3 * np.log2(max(count, 2) / 1.6)))


def _panel(count: int) -> float:
    """Return the width of a panel in units of the narrowest spread that still moves in it."""
    return float(3.4 - 0.3 * np.log2(max(count, 2)))


def _by_midpoints(m: Array, s: Array, low: Array, high: Array, count: int) -> tuple[Array, NDArray[np.bool_]]:
    step = (high - low) / count
    rate = 1.0 / s
    unscaled = _integrals(_scaled(step[:, None] * _midpoints(count), low[:, None] - m, rate), rate)
    total: Array = unscaled.sum(axis=1)
    return unscaled / total[:, None], np.abs(total * step * _DENSITY - 1.0) <= FINE


def _by_panels(m: Array, s: Array, low: Array, high: Array) -> Array:
    panel = _panel(m.shape[1])
    reach = (REACH + panel) * s

    def panels_needed(edges: Array) -> Array:
        within = np.clip(edges[:, None], (m - reach)[:, :, None], (m + reach)[:, :, None])
        needed: Array = (np.diff(within, axis=2) / (panel * s[:, :, None])).max(axis=1)
        return needed

    # Between the places where scores begin and end, what the panels have to follow is constant.
    ends = np.clip(np.concatenate([m - reach, m + reach], axis=1), low[:, None], high[:, None])
    mesh = adapted_mesh(np.sort(np.concatenate([low[:, None], ends, high[:, None]], axis=1), axis=1), panels_needed)
    # Edge minus mean is exact where they are close, edge plus offset is not: a narrow score would notice.
    first, rate = (mesh.edges[:, None] - m[:, :, None]) / s[:, :, None], 1.0 / s
    z = first[..., None] + (mesh.offsets[:, None] / s[:, :, None, None])
    unscaled = _integrals(z.reshape(*m.shape, -1), rate, mesh.weights)
    result: Array = unscaled / unscaled.sum(axis=1, keepdims=True)
    return result


def _scaled(nodes: Array, start: Array, rate: Array) -> Array:
    """Return z (N, K, Q) of nodes (N, Q) that are counted from a place that lies `start` (N, K) above the means."""
    z: Array = nodes[:, None] * rate[:, :, None]
    z += (start * rate)[:, :, None]
    return z


def _integrals(z: Array, rate: Array, weights: Array | None = None) -> Array:
    """Return √(2π) ∫ (f / F) M (N, K) from values at z (N, K, Q), which it overwrites; without weights, their sum."""
    cdf = ndtr(z)
    maximum = cdf.prod(axis=1)
    if weights is not None:
        maximum *= weights
    z *= z
    z *= -0.5
    np.exp(z, out=z)
    z /= cdf
    result: Array = (z @ maximum[:, :, None])[:, :, 0] * rate
    return result
