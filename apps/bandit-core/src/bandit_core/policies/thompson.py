"""Thompson sampling as a probability vector."""

from dataclasses import dataclass
from typing import ClassVar

from bandit_core.policies.base import ArmBeliefs, Proposal
from bandit_core.policies.registry import register


@register
@dataclass(frozen=True, slots=True)
class Thompson:
    """Every arm's weight is its probability of being the best one (Thompson 1933).

    A draw from this vector is distributed as "sample every posterior, take the argmax" (probability matching), but its
    propensity is known exactly.
    """

    name: ClassVar[str] = "thompson"
    title: ClassVar[str] = "Thompson sampling"

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        prob_best = beliefs.best_arm.prob_best
        return Proposal(prob_best, {"prob_best": prob_best})
