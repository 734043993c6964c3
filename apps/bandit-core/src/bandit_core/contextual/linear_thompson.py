"""Thompson sampling with linear models, as a probability vector."""

from dataclasses import dataclass
from typing import ClassVar

from bandit_core.contextual.policy import Array, check_parameters
from bandit_core.normal_arms import normal_prob_best


@dataclass(frozen=True, slots=True)
class LinearThompson:
    """Every arm's weight is the probability that its score is the highest in this context.

    With disjoint models the scores θ·x are independent, N(θ̂·x, alpha² xᵀ A⁻¹ x): a draw from the vector is distributed
    as "sample every arm's coefficients, take the best score" (Agrawal and Goyal 2013, "Thompson sampling for contextual
    bandits with linear payoffs", ICML), and its propensity is known. `alpha` is the standard deviation of the noise;
    the default 1 is cautious for rewards in [0, 1], whose noise is at most 0.5.
    """

    name: ClassVar[str] = "linear_thompson"
    title: ClassVar[str] = "linear Thompson sampling"

    alpha: float = 1.0
    ridge: float = 1.0
    half_life: float | None = None

    def __post_init__(self) -> None:
        check_parameters(self.name, self.alpha, self.ridge, self.half_life)

    def weights(self, mean: Array, sd: Array) -> Array:
        return normal_prob_best(mean, self.alpha * sd)
