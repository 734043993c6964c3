"""What every policy is: a function from beliefs about the arms to a probability vector over them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainccinv, betaln

from bandit_core.best_arm import BestArm, best_arm

SUM_TOLERANCE = 1e-9
"""How far the weights of a proposal may add up to something else than 1."""


class ArmBeliefs(Protocol):
    """What policies and stopping rules ask of beliefs about K >= 1 arms, whatever their rewards' distribution is."""

    @property
    def arms(self) -> tuple[str, ...]: ...

    @property
    def mean(self) -> NDArray[np.float64]:
        """Posterior mean of every arm's expected reward, shape (K,)."""
        ...

    @property
    def best_arm(self) -> BestArm:
        """P(best) and expected loss of every arm."""
        ...

    @property
    def evidence(self) -> float:
        """How many observations the beliefs carry, prior included."""
        ...

    def subset(self, chosen: NDArray[np.bool_]) -> "ArmBeliefs":
        """Return the beliefs about the chosen arms only."""
        ...

    def upper_quantile(self, tail: float) -> NDArray[np.float64]:
        """Return the expected reward (K,) that each arm exceeds with the probability `tail`."""
        ...

    def log_prob_beats(self, leader: int) -> NDArray[np.float64]:
        """Approximate log P(arm i beats the leader) (K,) where that probability is far too small to be a float."""
        ...


@dataclass(frozen=True, eq=False)
class Beliefs:
    """Beta(alpha[i], beta[i]) posteriors of the success rates of K >= 1 arms; the arrays are kept as read-only copies.

    Raises ValueError for no arms, repeated ids, lengths that differ, or parameters that are not positive and finite.
    """

    arms: tuple[str, ...]
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not self.arms:
            raise ValueError("beliefs need at least one arm")
        if len(set(self.arms)) < len(self.arms):
            repeated = sorted({arm for arm in self.arms if self.arms.count(arm) > 1})
            raise ValueError(f"arm ids must differ, repeated: {', '.join(repeated)}")
        object.__setattr__(self, "alpha", self._parameter("alpha", self.alpha))
        object.__setattr__(self, "beta", self._parameter("beta", self.beta))

    def _parameter(self, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        array = np.array(values, dtype=np.float64)
        if array.shape != (len(self.arms),):
            raise ValueError(f"{name} must hold one number for each of {len(self.arms)} arms, got shape {array.shape}")
        if not (np.all(array > 0.0) and np.all(np.isfinite(array))):
            raise ValueError(f"{name} must be positive and finite for every arm, got {array.tolist()}")
        array.flags.writeable = False
        return array

    def subset(self, chosen: NDArray[np.bool_]) -> "Beliefs":
        """Return the beliefs about the chosen arms only; the same object when all are chosen."""
        if chosen.all():
            return self
        arms = tuple(arm for arm, is_chosen in zip(self.arms, chosen.tolist(), strict=True) if is_chosen)
        return Beliefs(arms, self.alpha[chosen], self.beta[chosen])

    @cached_property
    def best_arm(self) -> BestArm:
        """P(best) and expected loss of every arm, computed once."""
        return best_arm(self.alpha, self.beta)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Posterior mean of every arm's success rate, shape (K,)."""
        mean: NDArray[np.float64] = self.alpha / (self.alpha + self.beta)
        mean.flags.writeable = False
        return mean

    @property
    def evidence(self) -> float:
        """How many observations the beliefs carry, prior included."""
        return float(self.alpha.sum() + self.beta.sum())

    def upper_quantile(self, tail: float) -> NDArray[np.float64]:
        """Return the rate (K,) that each arm exceeds with the probability `tail`."""
        quantile: NDArray[np.float64] = betainccinv(self.alpha, self.beta, tail)
        return quantile

    def log_prob_beats(self, leader: int) -> NDArray[np.float64]:
        """Approximate log P(theta_i > theta_leader) where that probability is far too small to be a float.

        Laplace's method on the log-odds scale, where every Beta density is log-concave: the likeliest way for arm i
        to be ahead is that both rates equal the pooled mean m. Beyond that point arm i's density falls at rate n_i m -
        alpha_i, and the product of both densities has curvature (n_i + n_leader) m (1 - m) there. A challenger's
        P(best) differs from this by the chance that a third arm is ahead as well, which is negligible at this distance.
        """
        alpha, beta = self.alpha, self.beta
        pooled_alpha, pooled_beta = alpha + alpha[leader], beta + beta[leader]
        pooled = pooled_alpha + pooled_beta
        mean, complement = pooled_alpha / pooled, pooled_beta / pooled
        log_density = (
            pooled_alpha * np.log(mean) + pooled_beta * np.log(complement)
            - betaln(alpha, beta) - betaln(alpha[leader], beta[leader])
        )  # fmt: skip
        decline = np.maximum((alpha + beta) * mean - alpha, np.finfo(np.float64).tiny)
        curvature = pooled * mean * complement
        log_prob: NDArray[np.float64] = log_density - np.log(decline) + 0.5 * np.log(2.0 * np.pi / curvature)
        return log_prob


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What a policy would do if nothing held it back.

    `weights` has shape (K,), is at least 0 and sums to 1 (ValueError otherwise). `numbers` holds what the policy looked
    at, one number per arm under the field's name for it, for the explanation.
    """

    weights: NDArray[np.float64]
    numbers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        total = float(self.weights.sum())
        # Written so that a NaN, which compares false with everything, is refused too.
        if not (self.weights.min() >= 0.0 and abs(total - 1.0) <= SUM_TOLERANCE):
            raise ValueError(f"a policy must propose weights of at least 0 that sum to 1, got a sum of {total!r}")


class Policy(Protocol):
    """A frozen dataclass whose fields are its parameters, checked when it is made.

    `name` is what configuration calls it, `title` what a sentence about it begins with.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        """Return the weights for these beliefs; the same beliefs always give the same weights."""
        ...


def share_among(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return equal weights for the chosen arms and 0 for the others, (K,) or (N, K): a tie favours no position."""
    # One vector is counted several times as fast without an axis.
    several = np.count_nonzero(chosen) if chosen.ndim == 1 else np.count_nonzero(chosen, axis=-1, keepdims=True)
    weights: NDArray[np.float64] = chosen / several
    return weights
