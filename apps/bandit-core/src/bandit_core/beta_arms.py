"""Beta arms on the logit axis: where their mass lies, and their densities and distribution functions on a shared mesh.

In t = log(θ / (1 − θ)) the density of θ ~ Beta(α, β) is proportional to

    exp(−α · softplus(−t) − β · softplus(t)),        softplus(t) = log(1 + e^t).

It is analytic on the real axis, has one peak, at log(α / β), and falls off at least exponentially for all α, β > 0. So
one change of variable removes the singularities of α < 1 and β < 1 and keeps θ near 0 and 1 − θ near 0 equally precise.

From its peak the logarithm of the density drops by a convex function of t. In z = ±√(2 · drop) every arm looks much
like a standard normal one, whatever its parameters: z says where an arm ends and how fine a mesh it needs.

Densities are scaled by their own integral over the mesh, so the normalising Beta function is not needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit_core.quadrature import Mesh, adapted_mesh

type Array = NDArray[np.float64]

TAIL: Final = 46.0
"""Arms end where the log density has dropped by this much: about e^−46 = 1e-20 of their mass lies beyond."""

PANEL_WIDTH: Final = 3.6
"""Width in z of a panel that has to follow a single arm."""

TAIL_WIDTH: Final = 16.0
"""Panels are half as wide at |z| of half of this, because over a unit of z the density changes there by e^|z|."""

POLE_WIDTH: Final = 1.0
"""Width of a panel relative to its distance from the poles of the logistic function, at t = ±iπ."""

START_CELLS: Final = 20
START_SCALE: Final = 8.0
"""The first mesh: this many intervals on either side, at first in steps that reach this many widths of an arm."""

SMALLEST_CDF: Final = 1e-290
"""Keeps density / cdf finite where both vanish; a product with such a cdf is negligible."""


@dataclass(frozen=True, slots=True, eq=False)
class BetaArms:
    """S sets of K independent arms; fields are arrays (S, K).

    `peak` is the place of the highest density, `height` minus the log of θ^α (1 − θ)^β there, `width` one over the root
    of the drop's second derivative there. Below `low` and above `high` an arm has practically no mass.
    """

    alpha: Array
    beta: Array
    peak: Array
    height: Array
    width: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, alpha: Array, beta: Array) -> "BetaArms":
        """Arms with positive, finite parameters (S, K)."""
        odds = alpha / beta
        peak = np.log(odds)
        height = alpha * np.log1p(1.0 / odds) + beta * np.log1p(odds)
        width = np.sqrt(1.0 / alpha + 1.0 / beta)
        reach = _reach(width)
        low = np.maximum(peak - reach, -(TAIL + height) / alpha)
        high = np.minimum(peak + reach, (TAIL + height) / beta)
        return cls(alpha, beta, peak, height, width, low, high)

    def drop(self, t: Array) -> Array:
        """How far log densities at t (S, N) lie below their peaks: (S, K, N), not negative up to rounding."""
        terms = np.ones((len(t), 3, t.shape[1]))
        np.maximum(-t, 0.0, out=terms[:, 0])
        np.maximum(t, 0.0, out=terms[:, 1])
        terms[:, :2] += np.log1p(np.exp(-np.abs(t)))[:, None]
        return np.stack([self.alpha, self.beta, -self.height], axis=2) @ terms

    def signed_root(self, t: Array) -> Array:
        """z (S, K, N) at t (S, N), held constant beyond the ends of the arms."""
        root = np.sqrt(2.0 * np.minimum(np.maximum(self.drop(t), 0.0), TAIL))
        return np.copysign(root, t[:, None] - self.peak[:, :, None])


def _reach(width: Array) -> Array:
    """Distance from the peak at which the drop is at least TAIL.

    The drop's second derivative changes by at most a factor e over a unit of t. So the drop at distance d is at least
    (e^−d − 1 + d) / width² >= d² / (2 + d) / width², and this solves d² / (2 + d) = TAIL · width². Where tails are
    exponential, `BetaArms.of` knows a better bound from softplus(t) >= max(t, 0): drop >= β · t − height, −α · t − height.
    """
    scaled = TAIL * width * width
    return (scaled + np.sqrt(scaled * (scaled + 8.0))) / 2.0


def panels_to_follow(arms: BetaArms, t: Array) -> Array:
    """Panels (S, K, Q) that each arm's density and distribution function deserve between neighbours in t (S, Q + 1)."""
    z = arms.signed_root(t)
    z *= (1.0 + np.abs(z) / TAIL_WIDTH) / PANEL_WIDTH
    return z[:, :, 1:] - z[:, :, :-1]


def panels_near_poles(t: Array) -> Array:
    """Panels (S, Q) between neighbours in t (S, Q + 1) that keep clear of singularities at t = ±iπ."""
    graded = np.arcsinh(t / np.pi) / POLE_WIDTH
    return graded[:, 1:] - graded[:, :-1]


@dataclass(frozen=True, slots=True, eq=False)
class ArmsOnMesh:
    """Densities in t and distribution functions (S, K, N) of S sets of K arms at the nodes of S meshes.

    An arm that lies wholly below another has density 0 and distribution function 1 on the mesh.
    """

    mesh: Mesh
    density: Array
    cdf: Array


def on_shared_mesh(arms: BetaArms, *, count: int, also_needed: Callable[[Array], Array] | None = None) -> ArmsOnMesh:
    """Evaluate arms on a mesh that holds all mass of every arm that can be the best of `count` arms.

    `also_needed` says how many panels (S, Q) something else deserves between edges (S, Q + 1).
    """
    common = arms.low.max(axis=1, keepdims=True)
    contending = (arms.high > common)[:, :, None]
    sharpness = _sharpness(count)

    def panels_needed(edges: Array) -> Array:
        needed = (panels_to_follow(arms, edges) * contending).max(axis=1) * sharpness
        np.maximum(needed, panels_near_poles(edges), out=needed)
        return needed if also_needed is None else needed + also_needed(edges)

    mesh = adapted_mesh(_graded_edges(arms, common, contending[:, :, 0]), panels_needed)
    density = np.exp(-arms.drop(mesh.nodes)) * contending
    cdf, mass = mesh.running_integral(density)
    cdf += ~contending
    mass += ~contending
    density /= mass
    cdf /= mass
    return ArmsOnMesh(mesh, density, np.maximum(cdf, SMALLEST_CDF, out=cdf))


def _sharpness(count: int) -> float:
    """How much narrower than one arm the maximum of `count` like arms is, about √(2 log count) for many."""
    return float(np.sqrt(1.0 + np.log(count) / 2.0))


def _graded_edges(arms: BetaArms, common: Array, contending: NDArray[np.bool_]) -> Array:
    """Edges (S, 2 · START_CELLS + 1) over all contending arms, growing both ways from a point `common` to them all.

    An arm that reaches far from the common point is wide, so intervals may grow with their distance from it.
    """
    low = np.where(contending, arms.low, np.inf).min(axis=1, keepdims=True)
    high = np.where(contending, arms.high, -np.inf).max(axis=1, keepdims=True)
    scale = START_SCALE * np.where(contending, arms.width, np.inf).min(axis=1, keepdims=True)
    steps = np.arange(1, START_CELLS + 1) / START_CELLS
    below = common - scale * np.expm1(np.log1p((common - low) / scale) * steps[::-1])
    above = common + scale * np.expm1(np.log1p((high - common) / scale) * steps)
    return np.concatenate([below, common, above], axis=1)
