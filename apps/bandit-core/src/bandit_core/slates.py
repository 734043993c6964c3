"""Ordered slates of k of K arms, by the ranking of one posterior sample or now and then at random, with propensities.

With f_i and F_i the density and distribution function of arm i, a sample ranks a₁, …, a_k first, in this order, with
the probability of nested integrals over one variable,

    H_k(t) = ∫_{−∞}^t f_{a_k} ∏_{others} F_j,    H_i(t) = ∫_{−∞}^t f_{a_i} H_{i+1},    P = H_1(∞),

and arm i comes at position p (from 0) if exactly p of the others lie above it: at θ_i = t their number is
Poisson-binomial with the probabilities 1 − F_j(t). This is the Plackett–Luce construction with Beta instead of Gumbel
noise (Plackett 1975; for Thompson sampling with several plays Komiyama, Honda and Nakagawa 2015, ICML, MP-TS).
With probability ε the slate is a uniform one instead; every probability here is that of the mixture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import perm

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.beta_arms import ArmsOnMesh, BetaArms, checked_parameters, on_whole_mesh
from bandit_core.checks import check_number

type Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slate:
    """Arms by index, first position first; the probability of just this slate, and of each arm at its position."""

    arms: tuple[int, ...]
    joint: float
    marginals: tuple[float, ...]


def draw_slate(alpha: ArrayLike, beta: ArrayLike, k: int, epsilon: float, generator: np.random.Generator) -> Slate:
    """Draw a slate of k of K independent Beta(alpha, beta) arms, parameters (K,).

    With probability `epsilon` it is uniform over all ordered slates, else the ranking of one sample. ValueError for
    parameters out of range (see `best_arm`), unless 1 <= k <= K and 0 <= epsilon <= 1.
    """
    alphas, betas = _checked(alpha, beta, k, epsilon)
    if epsilon > 0.0 and generator.random() < epsilon:
        order = generator.permutation(len(alphas))[:k]
    else:
        # A tie of two floats in [0, 1] is practically impossible but where both are 0 or 1: drawn then, not by
        # position.
        order = np.lexsort((generator.random(len(alphas)), -generator.beta(alphas, betas)))[:k]
    chosen = tuple(int(arm) for arm in order)
    if epsilon == 1.0:
        return Slate(chosen, 1.0 / perm(len(alphas), k), (1.0 / len(alphas),) * k)
    on_mesh = _on_mesh(alphas, betas)
    joint = _mixed(_joint(on_mesh, chosen), 1.0 / perm(len(alphas), k), epsilon)
    marginals = (_positions(on_mesh, arm, position + 1)[position] for position, arm in enumerate(chosen))
    return Slate(chosen, joint, tuple(_mixed(float(each), 1.0 / len(alphas), epsilon) for each in marginals))


def slate_probability(alpha: ArrayLike, beta: ArrayLike, arms: Sequence[int], epsilon: float) -> float:
    """P(just this slate) of different arms by index, first position first; parameters (K,) as `draw_slate`."""
    alphas, betas = _checked(alpha, beta, len(arms), epsilon)
    if len(set(arms)) < len(arms) or not all(0 <= arm < len(alphas) for arm in arms):
        raise ValueError(f"arms must be different indices below {len(alphas)}, got {list(arms)}")
    return _mixed(_joint(_on_mesh(alphas, betas), arms), 1.0 / perm(len(alphas), len(arms)), epsilon)


def position_probabilities(alpha: ArrayLike, beta: ArrayLike, k: int, epsilon: float) -> Array:
    """P(arm at position) (K, k) of slates of k arms; every column sums to 1. Parameters (K,) as `draw_slate`."""
    alphas, betas = _checked(alpha, beta, k, epsilon)
    on_mesh = _on_mesh(alphas, betas)
    ranked = np.array([_positions(on_mesh, arm, k) for arm in range(len(alphas))])
    result: Array = (1.0 - epsilon) * ranked + epsilon / len(alphas)
    return result


def _checked(alpha: ArrayLike, beta: ArrayLike, k: int, epsilon: float) -> tuple[Array, Array]:
    alphas, betas = checked_parameters(alpha, beta, dimensions=1)
    if not 1 <= k <= len(alphas):
        raise ValueError(f"a slate of {len(alphas)} arms has 1 to {len(alphas)} positions, got {k}")
    check_number("epsilon", epsilon, low=0.0, high=1.0)
    return alphas, betas


def _on_mesh(alphas: Array, betas: Array) -> ArmsOnMesh:
    return on_whole_mesh(BetaArms.of(alphas[None], betas[None]))


def _mixed(ranked: float, uniform: float, epsilon: float) -> float:
    return (1.0 - epsilon) * ranked + epsilon * uniform


def _joint(on_mesh: ArmsOnMesh, arms: Sequence[int]) -> float:
    density = on_mesh.hazard[0] * on_mesh.cdf[0]
    below: Array = np.delete(on_mesh.cdf[0], list(arms), axis=0).prod(axis=0)
    for arm in reversed(arms[1:]):
        to_node, _ = on_mesh.mesh.running_integral((density[arm] * below)[None, None])
        below = to_node[0, 0]
    return float(np.clip((density[arms[0]] * below) @ on_mesh.mesh.weights[0], 0.0, 1.0))


def _positions(on_mesh: ArmsOnMesh, arm: int, k: int) -> Array:
    """P(a sample ranks the arm at each of the first k positions) (k,)."""
    cdf = on_mesh.cdf[0]
    above = np.zeros((k, cdf.shape[1]))
    above[0] = 1.0
    for other in range(len(cdf)):
        if other != arm:
            is_below = cdf[other]
            above[1:] = above[1:] * is_below + above[:-1] * (1.0 - is_below)
            above[0] *= is_below
    weights = on_mesh.hazard[0, arm] * cdf[arm] * on_mesh.mesh.weights[0]
    result: Array = np.clip(above @ weights, 0.0, 1.0)
    return result
