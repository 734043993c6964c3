"""What an experiment can still gain: how much better than the leader the best arm may be.

Scott 2015 ("Multi-armed bandit experiments in the online service economy", Applied Stochastic Models in Business and
Industry 31) ends an experiment when its value remaining, V = max_j θ_j − θ_L with L the arm most likely to be best, is
small: when an upper quantile of V's posterior has fallen below what is worth acting on. V is 0 with probability
P(best)_L, and beyond that

    P(V > v) = P(max_{j≠L} θ_j > θ_L + v) = ∫ (Σ_{j≠L} h_j(t)) M(t) F_L(σ(t) − v) dt,

with h and M the reverse hazard rates and the maximum's distribution function of the other arms, as in `best_arm`, on a
mesh that also follows F_L where v has moved it to. The quantile is the root of P(V > v) = 1 − level.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaln, expit, log_expit, logit

from bandit_core.best_arm import best_arm
from bandit_core.beta_arms import BetaArms, checked_parameters, on_shared_mesh, panels_at_bends, panels_to_follow

type Array = NDArray[np.float64]

LARGEST_LOG: Final = 690.0
"""Numbers are sought between e^−690 and e^690, which floating point can hold."""

UNDERFLOW: Final = -600.0
"""Logit below which θ^α may be needed where θ is too small for the incomplete beta function."""

FINEST_DETAIL: Final = 1e-12
"""Smallest distance in t to resolve where F_L(σ(t) − v) leaves 0, as steeply as x^α for α below 1."""


def value_remaining(alpha: ArrayLike, beta: ArrayLike, *, level: float = 0.95, relative: bool = False) -> float:
    """Quantile `level` of V = max_j θ_j − θ_L for K independent Beta(alpha, beta) arms, parameters (K,).

    It is at least 0, in units of reward. With `relative` it is the quantile of V / θ_L: 0.02 then says that with
    probability `level` no arm is more than 2% better than the leader; beyond e^690 it is infinite. L is the arm of
    highest P(best), the first one on ties. ValueError as `best_arm`, and unless 0 < level < 1.
    """
    alpha, beta = checked_parameters(alpha, beta, dimensions=1)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, for example 0.95, got {level}")
    result = best_arm(alpha, beta)
    leader = result.leader
    if result.prob_best[leader] >= level:
        return 0.0
    own = BetaArms.of(alpha[None, [leader]], beta[None, [leader]])
    others = BetaArms.of(np.delete(alpha, leader)[None], np.delete(beta, leader)[None])

    def excess(v: float) -> float:
        return _exceedance(own, others, v, relative=relative) - (1.0 - level)

    # Markov's inequality bounds the quantile of V by E[V] / (1 − level).
    at_most = float(result.expected_loss[leader]) / (1.0 - level)
    return _root(excess, start=at_most / float(alpha[leader] / (alpha[leader] + beta[leader])) if relative else at_most)


def _root(decreasing: Callable[[float], float], *, start: float) -> float:
    """Positive root, sought on a log scale from `start` on; 0 below e^−LARGEST_LOG, infinite beyond e^LARGEST_LOG."""

    @cache
    def on_log_scale(u: float) -> float:
        return decreasing(math.exp(u))

    low = high = math.log(min(max(start, math.exp(-LARGEST_LOG)), math.exp(LARGEST_LOG)))
    step = 1.0
    while low > -LARGEST_LOG and on_log_scale(low) < 0.0:
        low, step = max(low - step, -LARGEST_LOG), 2.0 * step
    while high < LARGEST_LOG and on_log_scale(high) > 0.0:
        high, step = min(high + step, LARGEST_LOG), 2.0 * step
    if on_log_scale(low) <= 0.0:
        return 0.0
    if on_log_scale(high) >= 0.0:
        return math.inf
    return math.exp(brentq(on_log_scale, low, high, xtol=1e-13))


def _exceedance(leader: BetaArms, others: BetaArms, v: float, *, relative: bool) -> float:
    """P(max_j θ_j > θ_L + v), or > (1 + v) θ_L, for one arm against a set of others."""
    if v >= 1.0 and not relative:
        return 0.0
    on_mesh = on_shared_mesh(
        others,
        count=others.alpha.shape[1],
        also_needed=lambda edges: _panels_to_follow_leader(leader, edges, v, relative=relative),
    )
    nodes = on_mesh.mesh.nodes
    beaten = _cdf(leader, _moved_back(nodes, v, relative=relative)) * (relative | (expit(nodes) > v))
    density = on_mesh.hazard.sum(axis=1) * on_mesh.cdf.prod(axis=1) * on_mesh.mesh.weights
    return float((density * beaten).sum())


def _moved_back(t: Array, v: float, *, relative: bool, finest: float = math.exp(-LARGEST_LOG)) -> Array:
    """Logit of σ(t) − v, taken as at least `finest`, or of σ(t) / (1 + v)."""
    log_numerator = log_expit(t) if relative else np.log(np.maximum(expit(t) - v, finest))
    moved: Array = log_numerator - np.log(expit(-t) + v)
    return moved


def _panels_to_follow_leader(leader: BetaArms, t: Array, v: float, *, relative: bool) -> Array:
    """Panels (S, Q) that the moved F_L deserves, graded down to `finest` where σ(t) − v passes 0."""
    bends_of_leader = np.array([[leader.bend.item(), 0.0]])
    bend_of_move = np.array([[math.log1p(1.0 / v)]])
    finest = 0.0 if relative else max(FINEST_DETAIL * v * (1.0 - v), float(expit(leader.low.item())))
    moved = _moved_back(t, v, relative=relative, finest=finest)
    needed = panels_to_follow(leader, moved)[:, 0] + panels_at_bends(moved, bends_of_leader)
    needed += panels_at_bends(t, bend_of_move)
    if not relative:
        needed += np.diff(np.arcsinh((t - logit(v)) * (v * (1.0 - v) / finest)))
    return needed


def _cdf(arm: BetaArms, t: Array) -> Array:
    cdf: Array = np.where(
        t < 0.0, _cdf_below_half(arm.alpha, arm.beta, t), 1.0 - _cdf_below_half(arm.beta, arm.alpha, -t)
    )
    return cdf


def _cdf_below_half(alpha: Array, beta: Array, t: Array) -> Array:
    """P(logit θ <= t), also where σ(t) is too small for floating point, by the first term of its series."""
    first_term = np.exp(np.minimum(alpha * t - np.log(alpha) - betaln(alpha, beta), 0.0))
    cdf: Array = np.where(t < UNDERFLOW, first_term, betainc(alpha, beta, expit(t)))
    return cdf
