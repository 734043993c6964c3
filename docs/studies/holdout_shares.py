"""A holdout whose share changes while both sides are alike and the level of rewards moves."""

from dataclasses import dataclass

import numpy as np

from bandit_core.adaptive.effect import effects
from bandit_core.adaptive.pair_sums import PairSums


@dataclass(frozen=True, slots=True)
class FalseLifts:
    """Shares of runs whose lift is called different from 0 by a 95% interval at the end, though both are alike."""

    pooled: float
    overlap: float
    sequence: float


def false_lifts(
    shares: tuple[float, ...], rates: tuple[float, ...], *, size: int, runs: int, rng: np.random.Generator
) -> FalseLifts:
    """Play as many periods of `size` decisions as there are shares and rates; `sequence`: by `effect`, at the end."""
    weights = np.array([[1.0 - share, share] for share in shares])
    count = rng.multinomial(size, weights, (runs, len(shares))).astype(np.float64)
    won = rng.binomial(count.astype(np.int64), np.array(rates)[:, None]).astype(np.float64)
    sums = PairSums.of(np.broadcast_to(weights, count.shape), count, won, won)
    found = effects(PairSums(*(getattr(sums, name).sum(axis=1) for name in PairSums.__slots__)))
    n, s = count.sum(axis=1), won.sum(axis=1)
    level = s.sum(axis=1) / n.sum(axis=1)
    error = np.sqrt(level * (1.0 - level) * (1.0 / n).sum(axis=1))
    pooled = np.abs(s[:, 0] / n[:, 0] - s[:, 1] / n[:, 1]) > 1.96 * error
    difference = np.abs(found.difference[:, 0, 1])
    return FalseLifts(
        float(pooled.mean()),
        float((difference > found.fixed_half_width(0.05)[:, 0, 1]).mean()),
        float((difference > found.half_width(0.05)[:, 0, 1]).mean()),
    )
