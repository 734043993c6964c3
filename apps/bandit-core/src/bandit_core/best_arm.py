"""Which arm is best, and what does choosing one now cost: P(best) and expected loss of independent Beta arms.

With f_i and F_i the density and distribution function of arm i, the largest θ has the distribution function M = ∏ F_j,
and it is arm i's with the density f_i ∏_{j≠i} F_j = h_i M, where h_i = f_i / F_i is the reverse hazard rate. So

    P(best)_i = ∫ h_i(t) M(t) dt,

and they sum to 1, as Σ h_i M = M'. This is the optimal arm probability of Scott 2010 ("A modern Bayesian look at the
multi-armed bandit", Applied Stochastic Models in Business and Industry 26), and the vector by which Thompson
sampling draws. `beta_arms` evaluates f and F for all arms at once on one mesh, so K arms on N nodes cost K · N
evaluations, and every term is positive: small probabilities keep their relative accuracy.

The expected loss of arm i, L_i = E[max_j θ_j − θ_i], is what choosing it for good costs per decision (Stucchio 2015,
"Bayesian A/B testing at VWO"). Writing it as a difference of two expectations would lose all digits of a small loss.
For the arm r with the largest mean it is therefore taken as an integral of positive terms (when j wins at t, choosing r
loses t − θ_r), and the others follow by adding differences of means, which are positive too:

    L_r = ∫ Σ_{j≠r} h_j(t) M(t) E[σ(t) − θ_r | θ_r <= σ(t)] dt,        L_i = L_r + (E θ_r − E θ_i).

Measured for 2 to 100 arms with parameters from 0.05 to 1e6, over 14,000 probabilities against an independent
quadrature: P(best) is off by at most 2e-11, and by 3e-10 of itself down to 1e-12; the expected loss by at most 3e-13.
For larger parameters rounding grows to a few times 1e-18 · (α + β).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.beta_arms import ArmsOnMesh, BetaArms, checked_parameters, on_shared_mesh

type Array = NDArray[np.float64]

VALUES_AT_ONCE: Final = 100_000
"""Values per array when many sets are computed together: few enough to stay in the processor's cache."""

USUAL_NODES: Final = 400


@dataclass(frozen=True, slots=True, eq=False)
class BestArm:
    """P(best) and expected loss of each arm (K,), in the order of the arms."""

    prob_best: Array
    expected_loss: Array

    @property
    def leader(self) -> int:
        """Index of the arm most likely to be best; the lowest one on ties."""
        return int(np.argmax(self.prob_best))


def best_arm(alpha: ArrayLike, beta: ArrayLike) -> BestArm:
    """P(best) and expected loss of K independent Beta(alpha, beta) arms, parameters (K,), in one pass.

    P(best) sums to 1; one below e^−46 = 1e-20 may be given as 0. Losses are in units of reward. ValueError unless alpha
    and beta have one shape (K,), K >= 1, and lie between 1e-9 and 1e15.
    """
    arms, copies, which = _distinct(*checked_parameters(alpha, beta, dimensions=1))
    on_mesh = on_shared_mesh(arms, count=len(which))
    maximum = _maximum(on_mesh, copies)
    return BestArm(
        prob_best=_prob_best(on_mesh, maximum, copies)[0, which],
        expected_loss=_expected_loss(arms, copies, on_mesh, maximum)[which],
    )


def prob_best(alpha: ArrayLike, beta: ArrayLike) -> Array:
    """P(best) (K,) of K independent Beta(alpha, beta) arms; see `best_arm`."""
    arms, copies, which = _distinct(*checked_parameters(alpha, beta, dimensions=1))
    on_mesh = on_shared_mesh(arms, count=len(which))
    result: Array = _prob_best(on_mesh, _maximum(on_mesh, copies), copies)[0, which]
    return result


def expected_loss(alpha: ArrayLike, beta: ArrayLike) -> Array:
    """Expected loss (K,) of K independent Beta(alpha, beta) arms; see `best_arm`."""
    return best_arm(alpha, beta).expected_loss


def prob_best_many(alpha: ArrayLike, beta: ArrayLike) -> Array:
    """P(best) (S, K) of S separate sets of K independent Beta arms, parameters (S, K), as accurate as `prob_best`.

    This is for simulations of many runs at once: a set of four arms takes some tens of microseconds. ValueError as
    `best_arm`.
    """
    alpha, beta = checked_parameters(alpha, beta, dimensions=2)
    sets, count = alpha.shape
    copies = np.ones(count)
    at_once = max(1, VALUES_AT_ONCE // (count * USUAL_NODES))
    result = np.empty_like(alpha)
    for start in range(0, sets, at_once):
        part = slice(start, start + at_once)
        on_mesh = on_shared_mesh(BetaArms.of(alpha[part], beta[part]), count=count)
        result[part] = _prob_best(on_mesh, _maximum(on_mesh, copies), copies)
    return result


def _distinct(alpha: Array, beta: Array) -> tuple[BetaArms, Array, NDArray[np.intp]]:
    """Different arms among K as one set, how many copies there are of each, and which of them each of the K is.

    Equal arms are thus computed once, and get equal results to the last bit.
    """
    numbered: dict[tuple[float, float], int] = {}
    which = [numbered.setdefault(arm, len(numbered)) for arm in zip(alpha.tolist(), beta.tolist(), strict=True)]
    parameters = np.array(list(numbered))
    copies = np.bincount(which).astype(np.float64)
    return BetaArms.of(parameters[None, :, 0], parameters[None, :, 1]), copies, np.array(which)


def _maximum(on_mesh: ArmsOnMesh, copies: Array) -> Array:
    """Distribution function of the largest θ times the weights of the mesh (S, N)."""
    factors = on_mesh.cdf if (copies == 1.0).all() else on_mesh.cdf ** copies[:, None]
    maximum: Array = factors.prod(axis=1) * on_mesh.mesh.weights
    return maximum


def _prob_best(on_mesh: ArmsOnMesh, maximum: Array, copies: Array) -> Array:
    """P(best) (S, K) of one copy of each arm. The division removes rounding; the tests bound what it could hide."""
    unscaled = (on_mesh.hazard @ maximum[:, :, None])[:, :, 0]
    result: Array = unscaled / (unscaled @ copies)[:, None]
    return result


def _expected_loss(arms: BetaArms, copies: Array, on_mesh: ArmsOnMesh, maximum: Array) -> Array:
    """Expected loss (K,) of each arm of a single set."""
    total = arms.alpha[0] + arms.beta[0]
    mean, rest = arms.alpha[0] / total, arms.beta[0] / total
    best = int(np.argmax(mean))
    rivals = copies.copy()
    rivals[best] -= 1.0
    loss_of_best = (rivals @ on_mesh.hazard[0] * maximum[0]) @ _mean_shortfall(on_mesh, best)
    behind = mean[best] * rest - mean * rest[best]
    loss: Array = np.maximum(loss_of_best, 0.0) + np.maximum(behind, 0.0)
    return loss


def _mean_shortfall(on_mesh: ArmsOnMesh, arm: int) -> Array:
    """E[σ(t) − θ | θ <= σ(t)] (N,) of one arm of a single set: the integral of F(u) σ'(u) up to t, divided by F(t)."""
    decay = np.exp(-np.abs(on_mesh.mesh.nodes))
    cdf = on_mesh.cdf[:, [arm]]
    integral, _ = on_mesh.mesh.running_integral(cdf * (decay / (1.0 + decay) ** 2)[:, None])
    shortfall: Array = (integral / cdf)[0, 0]
    return shortfall
