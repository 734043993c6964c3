"""What a learner has done and learned, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from bandit_core.posteriors import BetaPosterior
from bandit_sdk.learning.store import ArmCounts


@dataclass(frozen=True, slots=True)
class ArmMetrics:
    """One arm: how often it was selected and observed, its mean reward so far, and what is believed of it.

    `reward_rate` in [0, 1] weighs rewards as they count now, after decay; None before the first one counts.
    """

    selections: int
    observations: int
    reward_rate: float | None
    posterior: BetaPosterior

    @classmethod
    def of(cls, counts: ArmCounts, posterior: BetaPosterior) -> Self:
        return cls(counts.selections, counts.observations, _rate(posterior.successes, posterior.trials), posterior)


@dataclass(frozen=True, slots=True)
class LearnerMetrics:
    """All arms by their ids, and their totals."""

    arms: Mapping[str, ArmMetrics]

    @property
    def selections(self) -> int:
        return sum(arm.selections for arm in self.arms.values())

    @property
    def observations(self) -> int:
        return sum(arm.observations for arm in self.arms.values())

    @property
    def reward_rate(self) -> float | None:
        """Mean reward over all arms; None before the first one counts."""
        posteriors = [arm.posterior for arm in self.arms.values()]
        return _rate(sum(each.successes for each in posteriors), sum(each.trials for each in posteriors))


def _rate(successes: float, trials: float) -> float | None:
    return successes / trials if trials > 0.0 else None
