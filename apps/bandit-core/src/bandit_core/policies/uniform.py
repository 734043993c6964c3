"""The same weight for every arm."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bandit_core.policies.base import ArmBeliefs, Proposal, share_among
from bandit_core.policies.registry import register


@register
@dataclass(frozen=True, slots=True)
class Uniform:
    """Every arm gets 1/K whatever the data say: the classical A/B/n test, and the cleanest logging policy."""

    name: ClassVar[str] = "uniform"
    title: ClassVar[str] = "the uniform split"

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        return Proposal(share_among(np.ones(len(beliefs.arms), dtype=np.bool_)))
