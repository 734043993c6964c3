"""Optimism with linear models."""

from dataclasses import dataclass
from typing import ClassVar

from bandit_core.contextual.policy import Array, check_parameters
from bandit_core.policies.base import share_among


@dataclass(frozen=True, slots=True)
class LinUCB:
    """All weight goes to the arm with the highest upper bound θ̂·x + alpha √(xᵀ A⁻¹ x); ties share it.

    The disjoint LinUCB of Li, Chu, Langford and Schapire 2010 ("A contextual-bandit approach to personalized news
    article recommendation", WWW, algorithm 1). It is deterministic: without a floor (`min_weight`) its propensities
    are 0 and 1, and nothing it logs can judge another policy.
    """

    name: ClassVar[str] = "linucb"
    title: ClassVar[str] = "LinUCB"

    alpha: float = 1.0
    ridge: float = 1.0
    half_life: float | None = None

    def __post_init__(self) -> None:
        check_parameters(self.name, self.alpha, self.ridge, self.half_life)

    def weights(self, mean: Array, sd: Array) -> Array:
        bound = mean + self.alpha * sd
        highest = bound.max() if bound.ndim == 1 else bound.max(axis=-1, keepdims=True)
        return share_among(bound == highest)
