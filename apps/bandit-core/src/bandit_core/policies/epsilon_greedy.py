"""Mostly the arm with the highest mean, now and then any."""

from dataclasses import dataclass
from typing import ClassVar

from bandit_core.checks import check_number
from bandit_core.policies.base import ArmBeliefs, Proposal, share_among
from bandit_core.policies.registry import register


@register
@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """A share epsilon is spread evenly over all arms, the rest goes to the highest posterior mean.

    `epsilon` lies in [0, 1]. Arms that tie for the highest mean split the rest (Sutton and Barto 2018, section 2.2).
    """

    name: ClassVar[str] = "epsilon_greedy"
    title: ClassVar[str] = "epsilon-greedy"

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_number("epsilon_greedy: epsilon", self.epsilon, low=0.0, high=1.0)

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        mean = beliefs.mean
        greedy = share_among(mean == mean.max())
        return Proposal((1.0 - self.epsilon) * greedy + self.epsilon / len(mean), {"mean": mean})
