"""Thompson sampling that keeps testing the leader against its challengers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp

from bandit_core.checks import check_number
from bandit_core.policies.base import Beliefs, Proposal
from bandit_core.policies.registry import register

RESOLVED = 1e-12
"""Smallest probability at which the digits of P(best) still mean something (see `best_arm`)."""


@register
@dataclass(frozen=True, slots=True)
class TopTwoThompson:
    """With probability `beta` the arm Thompson sampling draws, else the first later draw that is another arm.

    Russo 2016, "Simple Bayesian algorithms for best arm identification", algorithm TTTS: with P = P(best),

        psi_i = P_i (beta + (1 - beta) sum over j != i of P_j / (1 - P_j)).

    It finds the best arm sooner than Thompson sampling, and pays for it: as P of the leader approaches 1, the leader's
    weight approaches `beta`, in (0, 1], not 1.
    """

    name: ClassVar[str] = "top_two_thompson"
    title: ClassVar[str] = "top-two Thompson sampling"

    beta: float = 0.5

    def __post_init__(self) -> None:
        check_number("top_two_thompson: beta", self.beta, low=0.0, high=1.0, exclusive=True)

    def propose(self, beliefs: Beliefs) -> Proposal:
        best = beliefs.best_arm
        return Proposal(self._weights(beliefs, best.prob_best, best.leader), {"prob_best": best.prob_best})

    def _weights(self, beliefs: Beliefs, prob_best: NDArray[np.float64], leader: int) -> NDArray[np.float64]:
        if len(prob_best) == 1:
            return np.ones(1)
        others = _sum_of_others(prob_best)
        if others[leader] < RESOLVED:
            return self._weights_of_clear_leader(beliefs, leader)
        weights = prob_best * (self.beta + (1.0 - self.beta) * _sum_of_others(prob_best / others))
        normalised: NDArray[np.float64] = weights / weights.sum()
        return normalised

    def _weights_of_clear_leader(self, beliefs: Beliefs, leader: int) -> NDArray[np.float64]:
        """Take the limit P(leader) -> 1: the leader gets `beta`, the challengers share the rest like their P(best)."""
        log_prob = _log_prob_beats(beliefs, leader)
        log_prob[leader] = -np.inf
        weights: NDArray[np.float64] = (1.0 - self.beta) * np.exp(log_prob - logsumexp(log_prob))
        weights[leader] = self.beta
        return weights


def _sum_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum all values but one, for each one, without ever subtracting: 1 - P keeps its digits as P approaches 1."""
    before = np.concatenate(([0.0], np.cumsum(values[:-1])))
    after = np.concatenate((np.cumsum(values[:0:-1])[::-1], [0.0]))
    total: NDArray[np.float64] = before + after
    return total


def _log_prob_beats(beliefs: Beliefs, leader: int) -> NDArray[np.float64]:
    """Approximate log P(theta_i > theta_leader) where that probability is far too small to be a float.

    Laplace's method on the log-odds scale, where every Beta density is log-concave: the likeliest way for arm i to be
    ahead is that both rates equal the pooled mean m. Beyond that point arm i's density falls at rate n_i m - alpha_i,
    and the product of both densities has curvature (n_i + n_leader) m (1 - m) there. A challenger's P(best) differs
    from this by the chance that a third arm is ahead as well, which is negligible at this distance.
    """
    alpha, beta = beliefs.alpha, beliefs.beta
    pooled_alpha, pooled_beta = alpha + alpha[leader], beta + beta[leader]
    pooled = pooled_alpha + pooled_beta
    mean, complement = pooled_alpha / pooled, pooled_beta / pooled
    log_density = (
        pooled_alpha * np.log(mean) + pooled_beta * np.log(complement)
        - betaln(alpha, beta) - betaln(alpha[leader], beta[leader])
    )  # fmt: skip
    decline = np.maximum((alpha + beta) * mean - alpha, np.finfo(np.float64).tiny)
    curvature = pooled * mean * complement
    log_prob: NDArray[np.float64] = log_density - np.log(decline) + 0.5 * np.log(2.0 * np.pi / curvature)
    return log_prob
