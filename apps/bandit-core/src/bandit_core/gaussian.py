"""Gaussian rewards of unknown mean and variance: Normal-Inverse-Gamma posteriors and which arm's mean is the highest.

With the prior μ | σ² ~ N(m, σ² / κ), σ² ~ InvGamma(a, b), n rewards of mean r̄ and sum of squared deviations S leave

    κ' = κ + n,  m' = (κ m + n r̄) / κ',  a' = a + n / 2,  b' = b + S / 2 + κ n (r̄ − m)² / (2 κ'),

and μ a Student t with 2a' degrees of freedom around m', of scale √(b' / (a' κ')) (Murphy 2007, "Conjugate Bayesian
analysis of the Gaussian distribution", section 6.3). `t_arms` says which of them is the highest.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from bandit_core.best_arm import BestArm
from bandit_core.checks import check_number
from bandit_core.t_arms import TArms

type Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GaussianPrior:
    """What is believed of an arm before any data, in units of reward.

    `mean` m, worth `strength` κ > 0 observations; the variance is InvGamma(`shape` a, `scale` b). With a > 1/2 the mean
    has a posterior mean, without which there is no expected loss. ValueError for values out of range.
    """

    mean: float = 0.0
    strength: float = 1.0
    shape: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_number("mean", self.mean, low=-np.finfo(np.float64).max)
        check_number("strength", self.strength, low=0.0, exclusive=True)
        check_number("shape", self.shape, low=0.5, exclusive=True)
        check_number("scale", self.scale, low=0.0, exclusive=True)


@dataclass(frozen=True, eq=False)
class GaussianBeliefs:
    """Student t posteriors of the mean rewards of K >= 1 arms: `mean`, `scale` and degrees of `freedom` (K,)."""

    arms: tuple[str, ...]
    mean: Array
    scale: Array
    freedom: Array

    def __post_init__(self) -> None:
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise ValueError("beliefs need at least one arm, and ids that differ")
        if not (np.isfinite(self.mean).all() and (self.scale > 0.0).all() and (self.freedom > 1.0).all()):
            raise ValueError("means must be finite, scales positive and degrees of freedom above 1")

    @classmethod
    def of(
        cls, arms: tuple[str, ...], prior: GaussianPrior, count: ArrayLike, total: ArrayLike, squares: ArrayLike
    ) -> Self:
        """Return what `count` rewards of each arm (K,), their sums and sums of squares leave of the prior."""
        n, summed, squared = (np.asarray(each, dtype=np.float64) for each in (count, total, squares))
        if not n.shape == summed.shape == squared.shape == (len(arms),) or not (n >= 0.0).all():
            raise ValueError(
                f"count, total and squares must hold one number of at least 0 for each of {len(arms)} arms"
            )
        average = summed / np.maximum(n, 1.0)
        # Rounding may leave a little less than nothing of rewards that are all alike.
        deviations = np.maximum(squared - n * average * average, 0.0)
        strength = prior.strength + n
        shape = prior.shape + n / 2.0
        spread = prior.strength * n * (average - prior.mean) ** 2 / (2.0 * strength)
        scale = prior.scale + deviations / 2.0 + spread
        mean = (prior.strength * prior.mean + summed) / strength
        return cls(arms, mean, np.sqrt(scale / (shape * strength)), 2.0 * shape)

    def subset(self, chosen: NDArray[np.bool_]) -> "GaussianBeliefs":
        """Return the beliefs about the chosen arms only; the same object when all are chosen."""
        if chosen.all():
            return self
        arms = tuple(arm for arm, is_chosen in zip(self.arms, chosen.tolist(), strict=True) if is_chosen)
        return GaussianBeliefs(arms, self.mean[chosen], self.scale[chosen], self.freedom[chosen])

    @property
    def evidence(self) -> float:
        """How many observations the beliefs carry, prior included."""
        return float(self.freedom.sum())

    @property
    def log_norm(self) -> Array:
        """Natural logarithm (K,) of what (1 + z² / freedom)^(−(freedom + 1) / 2) is multiplied by to be a density.

        z is the distance from `mean` in units of `scale`.
        """
        return self._means.log_norm

    def upper_quantile(self, tail: float) -> Array:
        """Return the mean (K,) that each arm exceeds with the probability `tail`."""
        quantile: Array = self.mean - self.scale * stdtrit(self.freedom, tail)
        return quantile

    def interval(self, level: float) -> tuple[Array, Array]:
        """Return the ends (K,) of the equal-tailed credible interval of each mean."""
        tail = (1.0 - level) / 2.0
        reach = -self.scale * stdtrit(self.freedom, tail)
        return self.mean - reach, self.mean + reach

    def log_prob_beats(self, leader: int) -> Array:
        """Return log P(μ_i > μ_leader) (K,), however small that probability is."""
        return self._means.log_prob_exceeds(leader)

    @cached_property
    def best_arm(self) -> BestArm:
        """P(best) and expected loss of every arm, computed once."""
        return self._means.best_arm()

    @property
    def _means(self) -> TArms:
        return TArms(self.mean, self.scale, self.freedom)
