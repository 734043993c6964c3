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
from numpy.typing import ArrayLike, NDArray

from bandit_core.quadrature import Mesh, adapted_mesh

type Array = NDArray[np.float64]

LEAST_PARAMETER: Final = 1e-9
GREATEST_PARAMETER: Final = 1e15
"""Beyond these, logits and widths of arms leave the range or the resolution of floating point."""

TAIL: Final = 46.0
"""Arms end where the log density has dropped by this much: about e^−46 = 1e-20 of their mass lies beyond."""

PANEL_WIDTH: Final = 3.2
"""Width in z of a panel that has to follow a single arm."""

TAIL_WIDTH: Final = 10.0
"""Panels are half as wide at |z| of half of this, because over a unit of z the density changes there by e^|z|."""

BEND_WIDTH: Final = 1.6
BEND_REACH: Final = 10.0
"""Width of a panel in t at a bend, and the distance from it at which panels may be four times as wide.

Near t = 0 softplus changes from e^t to t, near −log β the factor exp(−β e^t) of the density sets in, and near log α its
mirror image. Further away these changes are as small as e^−distance; z alone would pass over them for small α or β.
"""

START_CELLS: Final = 32
START_SCALE: Final = 8.0
"""The first mesh: this many intervals on either side, at first in steps that reach this many widths of an arm."""

SMALLEST_CDF: Final = 1e-290
"""Keeps density / cdf finite where both vanish; a product with such a cdf is negligible."""


def checked_parameters(alpha: ArrayLike, beta: ArrayLike, *, dimensions: int) -> tuple[Array, Array]:
    """Parameters of Beta arms as arrays; ValueError unless of one shape, (K,) or (S, K), and from 1e-9 to 1e15."""
    alpha, beta = np.asarray(alpha, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    if alpha.shape != beta.shape or alpha.ndim != dimensions or alpha.shape[-1] == 0:
        shape = "(K,)" if dimensions == 1 else "(S, K)"
        raise ValueError(
            f"alpha and beta must both have shape {shape} with at least one arm, got {alpha.shape} and {beta.shape}"
        )
    for name, values in (("alpha", alpha), ("beta", beta)):
        if not ((values >= LEAST_PARAMETER) & (values <= GREATEST_PARAMETER)).all():
            raise ValueError(
                f"{name} must lie between {LEAST_PARAMETER:g} and {GREATEST_PARAMETER:g} for every arm, "
                f"got {values.tolist()}"
            )
    return alpha, beta


@dataclass(frozen=True, slots=True, eq=False)
class BetaArms:
    """S sets of K independent arms; fields are arrays (S, K).

    `peak` is the place of the highest density, `height` minus the log of θ^α (1 − θ)^β there, `width` one over the root
    of the drop's second derivative there, and `bend` where the factor of the larger parameter sets in (BEND_WIDTH).
    Below `low` and above `high` an arm has practically no mass.
    """

    alpha: Array
    beta: Array
    peak: Array
    height: Array
    width: Array
    bend: Array
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
        bend = np.copysign(np.log(np.maximum(np.maximum(alpha, beta), 1.0)), peak)
        return cls(alpha, beta, peak, height, width, bend, low, high)

    def log_density(self, t: Array) -> Array:
        """Log densities at t (S, N) relative to their peaks: (S, K, N), at most 0 up to rounding."""
        terms = np.ones((len(t), 3, t.shape[1]))
        np.minimum(t, 0.0, out=terms[:, 0])
        np.minimum(-t, 0.0, out=terms[:, 1])
        terms[:, :2] -= np.log1p(np.exp(-np.abs(t)))[:, None]
        return np.stack([self.alpha, self.beta, self.height], axis=2) @ terms

    def signed_root(self, t: Array) -> Array:
        """Coordinate z (S, K, N) at t (S, N), held constant beyond the ends of the arms."""
        root = np.sqrt(-2.0 * np.minimum(np.maximum(self.log_density(t), -TAIL), 0.0))
        return np.copysign(root, t[:, None] - self.peak[:, :, None])


def _reach(width: Array) -> Array:
    """Distance from the peak at which the drop is at least TAIL.

    The drop's second derivative changes by at most a factor e over a unit of t. So the drop at distance d is at least
    (e^−d − 1 + d) / width² >= d² / (2 + d) / width², and this solves d² / (2 + d) = TAIL · width². Where the tails are
    exponential `BetaArms.of` has a better bound: as softplus(t) >= max(t, 0), the drop is at least −α · t − height and
    β · t − height.
    """
    scaled = TAIL * width * width
    return (scaled + np.sqrt(scaled * (scaled + 8.0))) / 2.0


def panels_to_follow(arms: BetaArms, t: Array) -> Array:
    """Panels (S, K, Q) that each arm's density and distribution function deserve between neighbours in t (S, Q + 1)."""
    z = arms.signed_root(t)
    z *= (1.0 + np.abs(z) / TAIL_WIDTH) / PANEL_WIDTH
    return z[:, :, 1:] - z[:, :, :-1]


def panels_at_bends(t: Array, bends: Array) -> Array:
    """Panels (S, Q) between neighbours in t (S, Q + 1) for the nearest of some `bends` (S, B)."""
    distance = t[:, None] - bends[:, :, None]
    graded = distance / (BEND_WIDTH * (1.0 + np.abs(distance) / BEND_REACH))
    steps: Array = (graded[:, :, 1:] - graded[:, :, :-1]).max(axis=1)
    return steps


@dataclass(frozen=True, slots=True, eq=False)
class ArmsOnMesh:
    """Distribution functions and reverse hazard rates, density / cdf (S, K, N), of arms at the nodes of S meshes.

    An arm that lies wholly below another has hazard 0 and distribution function 1 on the mesh.
    """

    mesh: Mesh
    cdf: Array
    hazard: Array


def on_shared_mesh(arms: BetaArms, *, count: int, also_needed: Callable[[Array], Array] | None = None) -> ArmsOnMesh:
    """Evaluate arms on meshes that hold all mass of every arm that can be the best of `count` arms.

    `also_needed` says how many panels (S, Q) something else deserves between edges (S, Q + 1).
    """
    return _on_mesh(arms, arms.high > arms.low.max(axis=1, keepdims=True), _sharpness(count), also_needed)


def on_whole_mesh(arms: BetaArms) -> ArmsOnMesh:
    """Evaluate arms on meshes that hold all mass of every arm: what ranks them needs, from the best to the worst."""
    return _on_mesh(arms, np.ones(arms.alpha.shape, dtype=np.bool_), _sharpness_for_ranks(arms.alpha.shape[1]), None)


def _on_mesh(
    arms: BetaArms, contending: NDArray[np.bool_], sharpness: float, also_needed: Callable[[Array], Array] | None
) -> ArmsOnMesh:
    common = arms.low.max(axis=1, keepdims=True)
    in_play = contending[:, :, None].astype(np.float64)
    bends = np.concatenate([arms.bend, np.zeros_like(common)], axis=1)

    def panels_needed(edges: Array) -> Array:
        needed = (panels_to_follow(arms, edges) * in_play).max(axis=1) * sharpness
        np.maximum(needed, panels_at_bends(edges, bends), out=needed)
        return needed if also_needed is None else needed + also_needed(edges)

    mesh = adapted_mesh(_graded_edges(arms, common, contending), panels_needed)
    return _evaluated(arms, mesh, in_play)


def _evaluated(arms: BetaArms, mesh: Mesh, in_play: Array) -> ArmsOnMesh:
    """Work in place where possible: for many sets, fresh memory costs more than arithmetic."""
    density = arms.log_density(mesh.nodes)
    np.exp(density, out=density)
    density *= in_play
    cdf, mass = mesh.running_integral(density)
    cdf += 1.0 - in_play
    np.maximum(cdf, SMALLEST_CDF, out=cdf)
    hazard = np.divide(density, cdf, out=density)
    cdf /= mass + (1.0 - in_play)
    return ArmsOnMesh(mesh, cdf, hazard)


def _sharpness(count: int) -> float:
    """How much finer than for one arm a mesh must be: the maximum of many like arms narrows as 1 / √(log count)."""
    return float(np.sqrt(1.0 + np.log(count) / 4.0))


def _sharpness_for_ranks(count: int) -> float:
    """The same for all ranks: the middle one of many like arms narrows as 1 / √count."""
    return max(_sharpness(count), float(np.sqrt(1.0 + count / 16.0)))


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
