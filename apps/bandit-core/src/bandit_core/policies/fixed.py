"""A split set by hand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bandit_core.checks import check_number
from bandit_core.policies.base import ArmBeliefs, Proposal, share_among
from bandit_core.policies.registry import register


@register
@dataclass(frozen=True, slots=True)
class Fixed:
    """Every arm gets the share set for it, whatever the data say.

    `weights` maps arm ids to shares of at least 0 with a positive sum, which need not be 1: only proportions matter.
    Arms can be added and retired under a fixed split, so it answers for any set of arms: an arm that is not listed gets
    0 (guardrails may raise that), the listed ones that are there keep their proportions, and where none of them is
    there, nothing is known and all arms share equally.
    """

    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "the fixed split"

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Mapping):
            raise ValueError(f"fixed: weights must map arm ids to shares, got {self.weights!r}")  # noqa: TRY004
        for arm, share in self.weights.items():
            check_number(f"fixed: weights[{arm!r}]", share, low=0.0, high=1e9)
        if not math.fsum(self.weights.values()) > 0.0:
            raise ValueError("fixed: weights must give at least one arm a share above 0")
        object.__setattr__(self, "weights", dict(self.weights))

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        shares = np.array([self.weights.get(arm, 0.0) for arm in beliefs.arms])
        total = shares.sum()
        weights = shares / total if total > 0.0 else share_among(np.ones(len(shares), dtype=np.bool_))
        return Proposal(weights, {"share": weights})
