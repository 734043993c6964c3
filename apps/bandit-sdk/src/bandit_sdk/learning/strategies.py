"""From beliefs to a probability vector over arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bandit_core.policies.base import Beliefs, Policy


class Strategy(Protocol):
    """How likely each arm is to be chosen, given what is believed of them."""

    def weights(self, beliefs: Beliefs) -> NDArray[np.float64]:
        """Return the probability of each of K arms, shape (K,), at least 0 and summing to 1.

        The same beliefs must give the same weights: they are the propensities of what is drawn from them.
        """
        ...


@dataclass(frozen=True, slots=True)
class ThompsonSampling:
    """Every arm's weight is its probability of being the best one.

    A draw is distributed as "sample every posterior, take the largest", and its propensity is known exactly.
    """

    def weights(self, beliefs: Beliefs) -> NDArray[np.float64]:
        return beliefs.best_arm.prob_best


@dataclass(frozen=True, slots=True)
class PolicyStrategy:
    """Any policy of bandit_core: `PolicyStrategy(make_policy("top_two_thompson"))`."""

    policy: Policy

    def weights(self, beliefs: Beliefs) -> NDArray[np.float64]:
        return self.policy.propose(beliefs).weights
