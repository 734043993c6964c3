"""Ordered slates of k of K arms, by the ranking of one posterior sample or now and then at random, with propensities.

With f_i and F_i the density and distribution function of arm i, a sample ranks a₁, …, a_k first, in this order, with
the probability of nested integrals over one variable,

    H_k(t) = ∫_{−∞}^t f_{a_k} ∏_{others} F_j,    H_i(t) = ∫_{−∞}^t f_{a_i} H_{i+1},    P = H_1(∞),

and arm i comes at position p (from 0) if exactly p of the others lie above it: at θ_i = t their number is
Poisson-binomial with the probabilities 1 − F_j(t). This is the Plackett–Luce construction with Beta instead of Gumbel
noise (Plackett 1975; for Thompson sampling with several plays Komiyama, Honda and Nakagawa 2015, ICML, MP-TS).
With probability ε the slate is a uniform one instead; every probability here is that of the mixture.

For arms with β = 1 the ranking is that of Plackett and Luce with weights α. Against it a slate's probability is off by
at most 2e-10 of itself for 3 to 50 arms with α from 0.05 to 1e4. Positions of up to 300 arms miss a sum of 1 by at most
4e-10.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import perm
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.beta_arms import ArmsOnMesh, BetaArms, checked_parameters, on_whole_mesh
from bandit_core.checks import check_number

type Array = NDArray[np.float64]

VALUES_AT_ONCE: Final = 200_000
"""Values per array when those above many arms are counted: few enough to stay in the processor's cache."""


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
        order = np.argsort(-_sampled_logits(alphas, betas, generator))[:k]
    chosen = tuple(int(arm) for arm in order)
    if epsilon == 1.0:
        return Slate(chosen, 1.0 / perm(len(alphas), k), (1.0 / len(alphas),) * k)
    on_mesh = _on_mesh(alphas, betas)
    joint = _mixed(_joint(on_mesh, chosen), 1.0 / perm(len(alphas), k), epsilon)
    marginals = _positions(on_mesh, chosen, k)[range(k), range(k)].tolist()
    return Slate(chosen, joint, tuple(_mixed(each, 1.0 / len(alphas), epsilon) for each in marginals))


def slate_probability(alpha: ArrayLike, beta: ArrayLike, arms: Sequence[int], epsilon: float) -> float:
    """P(just this slate) of different arms by index, first position first; parameters (K,) as `draw_slate`."""
    alphas, betas = _checked(alpha, beta, len(arms), epsilon)
    if len(set(arms)) < len(arms) or not all(0 <= arm < len(alphas) for arm in arms):
        raise ValueError(f"arms must be different indices below {len(alphas)}, got {list(arms)}")
    return _mixed(_joint(_on_mesh(alphas, betas), arms), 1.0 / perm(len(alphas), len(arms)), epsilon)


def position_probabilities(alpha: ArrayLike, beta: ArrayLike, k: int, epsilon: float) -> Array:
    """P(arm at position) (K, k) of slates of k arms; every column sums to 1. Parameters (K,) as `draw_slate`."""
    alphas, betas = _checked(alpha, beta, k, epsilon)
    ranked = _positions(_on_mesh(alphas, betas), range(len(alphas)), k)
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


def _positions(on_mesh: ArmsOnMesh, arms: Sequence[int], k: int) -> Array:
    """P(a sample ranks the arm at each of the first k positions) (n, k), of n of the K arms."""
    cdf, weights = on_mesh.cdf[0], on_mesh.mesh.weights[0]
    density, chosen = on_mesh.hazard[0] * cdf, list(arms)
    ranked = np.zeros((len(chosen), k))
    at_once = max(1, VALUES_AT_ONCE // (len(cdf) * k))
    for start in range(0, len(weights), at_once):
        part = slice(start, start + at_once)
        # Those before an arm are folded with those after it: dividing it out of the count of all would not be stable.
        before = _above_among_those_before(cdf[:, part], k)
        after = _above_among_those_before(cdf[::-1, part], k)[::-1]
        weighted, after = before[chosen] * (density[chosen, part] * weights[part])[:, None], after[chosen]
        for position in range(k):
            ranked[:, position] += np.einsum("acn,acn->a", weighted[:, : position + 1], after[:, position::-1])
    return np.clip(ranked, 0.0, 1.0)


def _above_among_those_before(cdf: Array, k: int) -> Array:
    """P(c of the arms before arm i lie above) for c < k, (K, k, N), from distribution functions (K, N)."""
    above = np.zeros((len(cdf), k, cdf.shape[1]))
    above[0, 0] = 1.0
    for i, is_below in enumerate(cdf[:-1]):
        np.multiply(above[i], is_below, out=above[i + 1])
        above[i + 1, 1:] += above[i, :-1] * (1.0 - is_below)
    return above


def _sampled_logits(alphas: Array, betas: Array, generator: np.random.Generator) -> Array:
    """Logits of one sample of the arms (K,); θ itself may be too near to 0 or 1 for two of them to be told apart.

    A Gamma(a) variable is distributed as one of Gamma(a + 1) times U^(1/a), whose logarithm is finite for any a > 0.
    """
    shapes = np.stack([alphas, betas])
    logs = np.log(generator.standard_gamma(shapes + 1.0)) - generator.standard_exponential(shapes.shape) / shapes
    logits: Array = logs[0] - logs[1]
    return logits
