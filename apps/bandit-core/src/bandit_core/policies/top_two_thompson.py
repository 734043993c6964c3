"""Thompson sampling that keeps testing the leader against its challengers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bandit_core.checks import check_number
from bandit_core.policies.base import ArmBeliefs, Proposal
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

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        best = beliefs.best_arm
        return Proposal(self._weights(beliefs, best.prob_best, best.leader), {"prob_best": best.prob_best})

    def _weights(self, beliefs: ArmBeliefs, prob_best: NDArray[np.float64], leader: int) -> NDArray[np.float64]:
        if len(prob_best) == 1:
            return np.ones(1)
        others = _sum_of_others(prob_best)
        if others[leader] < RESOLVED:
            return self._weights_of_clear_leader(beliefs, leader)
        weights = prob_best * (self.beta + (1.0 - self.beta) * _sum_of_others(prob_best / others))
        normalised: NDArray[np.float64] = weights / weights.sum()
        return normalised

    def _weights_of_clear_leader(self, beliefs: ArmBeliefs, leader: int) -> NDArray[np.float64]:
        """Take the limit P(leader) -> 1: the leader gets `beta`, the challengers share the rest like their P(best)."""
        log_prob = beliefs.log_prob_beats(leader)
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
