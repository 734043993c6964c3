"""What drawing segments towards each other is worth: squared error beside no and complete pooling, and coverage."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from bandit_core.segments import shrink

type Floats = NDArray[np.float64]

MEAN: Final = 0.1
UNIFORM: Final = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two means over the same data sets, with its standard error (delta method)."""

    value: float
    std_error: float

    @classmethod
    def of(cls, ours: Floats, rivals: Floats) -> "Ratio":
        value = float(ours.mean() / rivals.mean())
        deviation = float((ours - value * rivals).std(ddof=1))
        return cls(value, deviation / (float(rivals.mean()) * math.sqrt(len(ours))))

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.std_error:.2f}"


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """Squared error relative to each rival, and how often a segment's 95% interval holds its rate."""

    to_none: Ratio
    to_complete: Ratio
    coverage: float


def measure(strength: float, *, segments: int, data_sets: int, rng: np.random.Generator) -> Shrinkage:
    """Measure it where rates are Beta(MEAN κ, (1 − MEAN) κ) with κ = `strength`, all alike where that is infinite.

    Segments have 50 to 5,000 decisions, evenly on a log scale. Every arm is a data set of its own, since arms share
    nothing. The rivals are posterior means, from a uniform prior, of each segment by itself and of all together.
    """
    shape = (segments, data_sets)
    tried = np.exp(rng.uniform(np.log(50), np.log(5_000), shape)).round()
    rates = np.full(shape, MEAN)
    if np.isfinite(strength):
        rates = rng.beta(MEAN * strength, (1.0 - MEAN) * strength, shape)
    won = rng.binomial(tried.astype(np.int64), rates)
    shrunk = shrink(won, tried, [UNIFORM] * data_sets)
    none, complete = (won + 1.0) / (tried + 2.0), (won.sum(axis=0) + 1.0) / (tried.sum(axis=0) + 2.0)
    ours, apart, together = (
        np.asarray(((each - rates) ** 2).sum(axis=0))
        for each in (shrunk.alpha / (shrunk.alpha + shrunk.beta), none, complete)
    )
    low, high = betaincinv(shrunk.alpha, shrunk.beta, 0.025), betaincinv(shrunk.alpha, shrunk.beta, 0.975)
    covered = float(((low <= rates) & (rates <= high)).mean())
    return Shrinkage(Ratio.of(ours, apart), Ratio.of(ours, together), covered)
