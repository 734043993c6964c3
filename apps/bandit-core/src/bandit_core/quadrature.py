"""Integrals and running integrals over meshes that adapt to what is integrated.

The rule is composite Gauss–Legendre: an interval is cut into panels, and in each panel a function is known by its
values at ORDER Gauss points. Weighted sums of the values give integrals. Integrals of the polynomial through the values
give running integrals, such as a distribution function from its density, at every node at once and for the price of a
small matrix product (Greengard 1991, "Spectral integration and two-point boundary value problems", SIAM J. Numer. Anal.
28). For analytic functions both converge geometrically in ORDER.

Panels are placed by equidistribution (de Boor 1973, "Good approximation by splines with variable knots"): the caller
says how many panels each interval deserves, and the edges are moved until every panel carries about one.

Everything works on S independent meshes at once: arrays begin with the axis S and end with the axis along the mesh.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial.legendre import leggauss, legvander
from numpy.typing import NDArray

type Array = NDArray[np.float64]

ORDER: Final = 16
MOST_PER_PANEL: Final = 1.5
"""How many panels' worth a single panel may be left to carry."""

FINEST_PANEL: Final = 1e-13
"""Width relative to its place of a panel whose nodes floating point can still tell apart."""


def _running_integral_matrix(nodes: Array, weights: Array) -> Array:
    """Matrix M such that values @ M are the integrals of the interpolating polynomial from −1 to each node.

    The polynomial's Legendre coefficients follow from the rule itself, and (2m + 1) ∫ P_m = P_{m+1} − P_{m−1}.
    """
    legendre = legvander(nodes, len(nodes))
    integrals = [nodes + 1.0, *(legendre[:, m + 1] - legendre[:, m - 1] for m in range(1, len(nodes)))]
    return (weights[:, None] * legendre[:, :-1]) @ np.array(integrals) / 2.0


_NODES, _WEIGHTS = leggauss(ORDER)
_NODES_IN_PANEL: Final = (_NODES + 1.0) / 2.0
_WEIGHTS_IN_PANEL: Final = _WEIGHTS / 2.0
_RUNNING_IN_PANEL: Final = _running_integral_matrix(_NODES, _WEIGHTS) / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """S partitions into P panels each: `widths` (S, P), and N = P · ORDER nodes with their places and weights (S, N).

    The sum of weights · values is an integral over the whole range. A node lies one of the `offsets` (S, P, ORDER)
    above the left one of its panel's `edges` (S, P).
    """

    edges: Array
    widths: Array
    nodes: Array
    weights: Array

    @classmethod
    def between(cls, edges: Array) -> "Mesh":
        """Mesh whose panels lie between neighbouring `edges` (S, P + 1), which increase along the last axis."""
        widths = edges[:, 1:] - edges[:, :-1]
        nodes = edges[:, :-1, None] + widths[:, :, None] * _NODES_IN_PANEL
        weights = widths[:, :, None] * _WEIGHTS_IN_PANEL
        return cls(edges[:, :-1], widths, nodes.reshape(len(edges), -1), weights.reshape(len(edges), -1))

    @property
    def offsets(self) -> Array:
        """Distances (S, P, ORDER) of the nodes from their panels' left edges."""
        offsets: Array = self.widths[:, :, None] * _NODES_IN_PANEL
        return offsets

    def backwards(self) -> "Mesh":
        """Return the mesh as seen from its right end: the rule is symmetric."""
        return Mesh(*(each[:, ::-1] for each in (self.edges, self.widths, self.nodes, self.weights)))

    def running_integral(self, values: Array) -> tuple[Array, Array]:
        """Integrals of K functions, `values` (S, K, N): up to each node (S, K, N) and over the range (S, K, 1)."""
        by_panel = (values * np.repeat(self.widths, ORDER, axis=1)[:, None]).reshape(-1, ORDER)
        to_right_edge = np.cumsum((by_panel @ _WEIGHTS_IN_PANEL).reshape(*values.shape[:2], -1), axis=2)
        to_node = (by_panel @ _RUNNING_IN_PANEL).reshape(values.shape)
        to_node[:, :, ORDER:] += np.repeat(to_right_edge[:, :, :-1], ORDER, axis=2)
        return to_node, to_right_edge[:, :, -1:]


def adapted_mesh(edges: Array, panels_needed: Callable[[Array], Array]) -> Mesh:
    """Mesh over the range of `edges` (S, Q + 1) in which no panel carries more than MOST_PER_PANEL.

    `panels_needed` maps edges (S, Q + 1) to the positive number of panels (S, Q) that each interval deserves; it is
    additive over intervals. What is known about them grows until the mesh planned from it stands the check. Panels that
    floating point cannot divide pass it.
    """
    while True:
        planned = _equidistributed(edges, panels_needed(edges))
        if _fine_enough(planned, panels_needed(planned)):
            return Mesh.between(planned)
        edges = np.sort(np.concatenate([edges, planned], axis=1), axis=1)


def _fine_enough(edges: Array, needed: Array) -> bool:
    if needed.max() <= MOST_PER_PANEL:
        return True
    divisible = edges[:, 1:] - edges[:, :-1] > FINEST_PANEL * np.abs(edges[:, 1:])
    return bool((needed[divisible] <= MOST_PER_PANEL).all())


def _equidistributed(edges: Array, needed: Array) -> Array:
    """Edges (S, P + 1) over the same range that spread `needed` evenly, as if constant in each old interval.

    P is what the most demanding of the S meshes needs: all get the same, so that arrays stay rectangular. All inverse
    interpolations are done as one: mesh s lies on the stretch [2s, 2s + 1] of a single axis.
    """
    carried = np.zeros_like(edges)
    np.cumsum(needed, axis=1, out=carried[:, 1:])
    stretch = 2.0 * np.arange(len(edges))[:, None]
    wanted = np.linspace(0.0, 1.0, int(np.ceil(carried.max())) + 1) + stretch
    placed = np.interp(wanted.ravel(), (carried / carried[:, -1:] + stretch).ravel(), edges.ravel())
    return placed.reshape(wanted.shape)
