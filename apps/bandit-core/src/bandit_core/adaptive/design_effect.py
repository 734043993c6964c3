"""How much units that come back blow up the variance of a mean: the design effect.

Decisions of one unit resemble each other, so n of them say less than n of different units. With A = Σq (r − g) over the
decisions of one unit for one arm,

    design effect = Σ A² / (σ² Σq²),                    A² and q² summed over (unit, arm) and decisions,

is the variance of a mean that treats units as independent, beside that of independent decisions (the sandwich estimator
for clusters; Deng, Knoblich and Lu 2018, "Applying the delta method in metric analytics", KDD; Kish 1965). With q = 1
it is about all decisions of an experiment. A unit that changes arms is a cluster in each: that leaves out what its arms
share, which cancels in their difference and so errs towards caution.

A² = (Σqr)² − 2 g Σqr Σq + g² (Σq)², so three sums over clusters and Σq² are enough for any g. They
are whole numbers if q = 1 and rewards are whole; sums of different units add.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from bandit_core.checks import check_number


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """Sums over (unit, arm), with R = Σqr and W = Σq of each: ΣR², ΣRW and ΣW²; and Σq² over all decisions."""

    reward_squares: float = 0.0
    products: float = 0.0
    weight_squares: float = 0.0
    decision_squares: float = 0.0

    @classmethod
    def of(cls, rewards: ArrayLike, weights: ArrayLike, decision_squares: float | None = None) -> Self:
        """Return the sums of clusters with R and W (M,). Without `decision_squares` each q is 1, and W a count."""
        r, w = np.asarray(rewards, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        if r.shape != w.shape:
            raise ValueError(f"rewards and weights must be of the same clusters, got {r.shape} and {w.shape}")
        total = float(w.sum()) if decision_squares is None else decision_squares
        return cls(float((r * r).sum()), float((r * w).sum()), float((w * w).sum()), total)

    def __add__(self, other: "ClusterSums") -> "ClusterSums":
        return ClusterSums(
            self.reward_squares + other.reward_squares,
            self.products + other.products,
            self.weight_squares + other.weight_squares,
            self.decision_squares + other.decision_squares,
        )

    def design_effect(self, level: float, variance: float) -> float:
        """Return the design effect around a mean reward of `level`, σ² = `variance`; at least 1, and 1 without data."""
        check_number("variance", variance, low=0.0)
        if self.decision_squares <= 0.0 or variance <= 0.0:
            return 1.0
        clustered = self.reward_squares - 2.0 * level * self.products + level * level * self.weight_squares
        return max(1.0, clustered / (variance * self.decision_squares))
