"""What linear models believe of the arms' scores in a context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bandit_core.linear import LinearArm

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearBeliefs:
    """Coefficients `theta` (K, d) of K >= 1 arms and their `covariance` (K, d, d), for noise of standard deviation 1.

    The arms are independent (disjoint models). ValueError for repeated ids or shapes that do not fit.
    """

    arms: tuple[str, ...]
    theta: Array
    covariance: Array

    def __post_init__(self) -> None:
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise ValueError("beliefs need at least one arm, and ids that differ")
        if self.theta.ndim != 2 or len(self.theta) != len(self.arms):
            raise ValueError(f"theta must have the shape ({len(self.arms)}, d), got {self.theta.shape}")
        count, dimension = self.theta.shape
        if self.covariance.shape != (count, dimension, dimension):
            raise ValueError(
                f"covariance must have the shape {(count, dimension, dimension)}, got {self.covariance.shape}"
            )

    @classmethod
    def of(cls, models: Mapping[str, LinearArm]) -> Self:
        """Return what models by arm believe."""
        values = list(models.values())
        return cls(
            tuple(models), np.array([each.mean for each in values]), np.array([each.covariance for each in values])
        )

    def scores(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of every arm's expected reward θ·x.

        For a context x (d,) they are (K,), for contexts (N, d) they are (N, K).
        """
        count, dimension = self.theta.shape
        # One product for all arms, on the arrays as they were published: nothing is copied or factorised for a context.
        spread = (x @ self.covariance.reshape(-1, dimension).T).reshape(*x.shape[:-1], count, dimension)
        variance = spread @ x if x.ndim == 1 else (spread @ x[..., :, None])[..., 0]
        # Rounding may leave a variance just below 0.
        return x @ self.theta.T, np.sqrt(np.maximum(variance, 0.0))

    def subset(self, names: Sequence[str]) -> "LinearBeliefs":
        """Return the beliefs about some of the arms, in the given order."""
        places = [self.arms.index(name) for name in names]
        return LinearBeliefs(tuple(names), self.theta[places], self.covariance[places])
