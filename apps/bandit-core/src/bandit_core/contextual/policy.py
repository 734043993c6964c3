"""What every contextual policy is, and its vector with a floor."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_number
from bandit_core.contextual.beliefs import LinearBeliefs
from bandit_core.guardrails import FEASIBILITY_TOLERANCE, InfeasibleLimits

type Array = NDArray[np.float64]


class ContextualPolicy(Protocol):
    """A frozen dataclass whose fields are its parameters, checked when it is made.

    `alpha` >= 0 scales how far it explores; as the models assume noise of standard deviation 1, it stands for the real
    one. `ridge` and `half_life` are those of the models it decides by (`linear.LinearPrior`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def ridge(self) -> float: ...

    @property
    def half_life(self) -> float | None: ...

    def weights(self, mean: Array, sd: Array) -> Array:
        """Return the probability vector (K,) for scores of these means and deviations (K,); all may be (N, K)."""
        ...


def linear_weights(
    policy: ContextualPolicy,
    beliefs: LinearBeliefs,
    x: Array,
    min_weight: float,
    among: Sequence[int] | None = None,
) -> Array:
    """Return the vector (K,) that a decision in the context x (d,) is drawn from; exact, so its propensities are.

    For contexts (N, d) it returns their vectors (N, K), in one product. `among` are the places of the arms to decide
    between, of which K are returned in that order; None for all.

    The policy's vector w is mixed with the uniform one: (1 − K m) w + m, with m the least weight of an arm.
    InfeasibleLimits (a ValueError) when m cannot be given to every arm; ValueError for an x of another length.
    """
    dimension = beliefs.theta.shape[1]
    if x.ndim not in (1, 2) or x.shape[-1] != dimension:
        raise ValueError(f"x must have the shape ({dimension},) or (N, {dimension}), got {x.shape}")
    mean, sd = beliefs.scores(x)
    if among is not None:
        mean, sd = mean[..., among], sd[..., among]
    count = mean.shape[-1]
    if min_weight * count > 1.0 + FEASIBILITY_TOLERANCE:
        raise InfeasibleLimits(f"min_weight {min_weight:g} for each of {count} arms adds up to more than 1")
    weights = policy.weights(mean, sd)
    mixed: Array = max(0.0, 1.0 - count * min_weight) * weights + min_weight
    return mixed


def check_parameters(name: str, alpha: float, ridge: float, half_life: float | None) -> None:
    """Raise ValueError, naming the parameter, for a value out of its range."""
    check_number(f"{name}: alpha", alpha, low=0.0)
    check_number(f"{name}: ridge", ridge, low=0.0, exclusive=True)
    if half_life is not None:
        check_number(f"{name}: half_life", half_life, low=0.0, exclusive=True)
