"""From an outcome to a reward in [0, 1], or None when it does not count.

Any reward model of `bandit_core.rewards` will do as well, such as `OutcomeMap({"click": 1, "dismiss": 0})`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bandit_core.rewards import Outcome, OutcomeMap


class RewardModel(Protocol):
    """The rule by which a learner turns outcomes into rewards."""

    def reward(self, outcome: Outcome) -> float | None:
        """Return the reward in [0, 1], or None when the outcome is to be ignored; ValueError for one not known."""
        ...


@dataclass(frozen=True, slots=True)
class BinaryReward:
    """1 for "accepted", 0 for every other outcome."""

    def reward(self, outcome: Outcome) -> float | None:
        return 1.0 if outcome == "accepted" else 0.0


_TERNARY = OutcomeMap({"accepted": 1.0, "partial": 0.5, "rejected": 0.0})


@dataclass(frozen=True, slots=True)
class TernaryReward:
    """1 for "accepted", 0.5 for "partial", 0 for "rejected"; ValueError for any other outcome."""

    def reward(self, outcome: Outcome) -> float | None:
        return _TERNARY.reward(outcome)
