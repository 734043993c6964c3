"""Quadrature: what the rule integrates exactly, and what an adapted mesh guarantees."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.quadrature import MOST_PER_PANEL, ORDER, Mesh, adapted_mesh

type Array = NDArray[np.float64]

EDGES = np.array([[-1.0, -0.4, 0.1, 2.0], [0.0, 1.0, 3.0, 3.5]])


@pytest.mark.parametrize("degree", range(ORDER))
def test_running_integrals_of_polynomials_below_the_order_are_exact(degree: int) -> None:
    mesh = Mesh.between(EDGES)
    to_nodes, in_all = mesh.running_integral(mesh.nodes[:, None] ** degree)
    antiderivative = np.polynomial.Polynomial.basis(degree).integ()
    start = antiderivative(EDGES[:, :1])
    size = np.abs(antiderivative(EDGES)).max()
    np.testing.assert_allclose(to_nodes[:, 0], antiderivative(mesh.nodes) - start, atol=1e-14 * size)
    np.testing.assert_allclose(in_all[:, 0], antiderivative(EDGES[:, -1:]) - start, atol=1e-14 * size)


def test_weighted_sums_integrate_twice_the_degree() -> None:
    mesh = Mesh.between(EDGES)
    degree = 2 * ORDER - 1
    expected = (EDGES[:, -1] ** (degree + 1) - EDGES[:, 0] ** (degree + 1)) / (degree + 1)
    np.testing.assert_allclose((mesh.weights * mesh.nodes**degree).sum(axis=1), expected, rtol=1e-12)


def test_a_running_integral_follows_an_exponential_to_rounding() -> None:
    mesh = Mesh.between(np.linspace(0.0, 5.0, 6)[None])
    to_nodes, in_all = mesh.running_integral(np.exp(mesh.nodes)[:, None])
    np.testing.assert_allclose(to_nodes[:, 0], np.expm1(mesh.nodes), rtol=1e-13)
    assert in_all[0, 0, 0] == pytest.approx(np.expm1(5.0), rel=1e-14)


def spike(edges: Array) -> Array:
    """Return panels that a step of width 1e-6 at 0.3 deserves, beside an even background of ten."""
    place = 10.0 * edges + 40.0 * np.arctan((edges - 0.3) / 1e-6)
    needed: Array = np.diff(place)
    return needed


def test_an_adapted_mesh_finds_detail_a_million_times_smaller_than_its_range() -> None:
    mesh = adapted_mesh(np.linspace(0.0, 1.0, 9)[None], spike)
    edges = np.concatenate([[[0.0]], np.cumsum(mesh.widths, axis=1)], axis=1)
    assert edges[0, -1] == pytest.approx(1.0)
    assert (mesh.widths > 0.0).all()
    assert spike(edges).max() <= MOST_PER_PANEL * (1.0 + 1e-6)
    assert mesh.widths.shape[1] < 4 * spike(np.array([[0.0, 1.0]])).sum()


def test_meshes_adapt_separately_and_get_the_number_of_panels_of_the_most_demanding() -> None:
    ranges = np.array([[0.0, 1.0], [-7.0, 1.0]])
    starts = np.linspace(ranges[:, 0], ranges[:, 1], 20, axis=1)
    both = adapted_mesh(starts, spike)
    assert both.nodes.shape == both.weights.shape == (2, both.widths.shape[1] * ORDER)
    np.testing.assert_allclose(both.weights.sum(axis=1), [1.0, 8.0])
