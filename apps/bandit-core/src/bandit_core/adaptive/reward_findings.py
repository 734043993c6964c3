"""What is wrong with the rewards, or with their comparison, in plain words: for answers, reports and warnings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.wording import count, percent

type Array = NDArray[np.float64]

FEWEST: Final = 30
"""With fewer rewards nothing is concluded from them."""

MANY_ARE_MISSING: Final = 0.5
CLEAR: Final = 4.0
"""Standard errors from which a difference is beyond chance although it is looked at again and again."""

CLEARLY_LATER: Final = 0.6
"""The chance that a failure takes longer than a success, from which the order of arrival matters."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two arms whose pooled and time-robust differences are further apart than chance explains."""

    first: int
    second: int
    pooled: float
    robust: float
    statistic: float


def only_successes(decisions: int, rewards: int, total: float) -> str | None:
    """Say so if all rewards are 1 while most decisions have none, else return None. `total` is the rewards' sum."""
    if rewards < FEWEST or total != rewards or rewards > MANY_ARE_MISSING * decisions:
        return None
    return (
        f"All {count(rewards)} rewards are 1, and {percent(1.0 - rewards / decisions)} of decisions have none. "
        "If no reward means failure, set missing_reward to zero: without it arms are judged by their successes alone."
    )


def failures_come_later(successes: ArrayLike, failures: ArrayLike) -> str | None:
    """Say so if failures take longer to come than successes, else return None.

    Both are counts (A,) of rewards by steps of age. The statistic is that of Mann and Whitney (1947), with ties.
    """
    s, f = (np.asarray(each, dtype=np.float64) for each in (successes, failures))
    if s.shape != f.shape or s.ndim != 1:
        raise ValueError(f"successes and failures must be counted by the same steps of age, got {s.shape}, {f.shape}")
    n, m = float(s.sum()), float(f.sum())
    if min(n, m) < FEWEST:
        return None
    below = s.cumsum() - s
    later = float((f * (below + 0.5 * s)).sum()) / (n * m)
    both, total = s + f, n + m
    ties = float((both**3 - both).sum()) / (total * (total - 1.0))
    deviation = float(np.sqrt((total + 1.0 - ties) / (12.0 * n * m)))
    if later < CLEARLY_LATER or later - 0.5 < CLEAR * deviation:
        return None
    return (
        f"Failures come later than successes: a failure takes longer in {percent(later)} of comparisons. "
        "While the newest decisions have their successes only, arms that get more traffic look better than they are. "
        "Set missing_reward to zero, so that a decision counts when its window closes."
    )


def disagreements(sums: PairSums) -> list[Disagreement]:
    """Return the pairs of arms whose pooled and time-robust differences disagree beyond chance, the clearest first.

    Where nothing moved, both estimate the same difference and the pooled one is efficient. So the variance of their
    distance is the difference of their variances (Hausman 1978, "Specification tests in econometrics").
    """
    statistic, pooled, robust = disagreement_statistics(sums)
    pairs = zip(*np.nonzero(np.triu(np.abs(statistic) >= CLEAR, 1)), strict=True)
    found = [
        Disagreement(int(i), int(j), float(pooled[i, j]), float(robust[i, j]), float(statistic[i, j])) for i, j in pairs
    ]
    return sorted(found, key=lambda each: -abs(each.statistic))


def disagreement_statistics(sums: PairSums) -> tuple[Array, Array, Array]:
    """Return the statistics (..., K, K) and both differences, pooled and time-robust; 0 where nothing is known."""
    many = np.maximum(sums.count, 1.0)
    own = sums.total / many
    pooled = own[..., :, None] - own[..., None, :]
    robust = sums.mean - np.swapaxes(sums.mean, -1, -2)
    size, across = sums.effective_size, np.swapaxes(sums.effective_size, -1, -2)
    known = np.minimum(size, across) >= FEWEST
    both = sums.count[..., :, None] + sums.count[..., None, :]
    level, square = (
        (each[..., :, None] + each[..., None, :]) / np.maximum(both, 1.0) for each in (sums.total, sums.squares)
    )
    excess = sum(1.0 / np.maximum(each, 1.0) for each in (size, across)) - (
        1.0 / many[..., :, None] + 1.0 / many[..., None, :]
    )
    variance = np.maximum(square - level * level, 0.0) * excess
    # Where weights have hardly moved both are the same up to rounding, and so is their distance.
    known &= (variance > 0.0) & (excess > 1e-9)
    statistic = np.where(known, (pooled - robust) / np.sqrt(np.where(known, variance, 1.0)), 0.0)
    return statistic, np.where(known, pooled, 0.0), np.where(known, robust, 0.0)


def say_disagreements(arms: Sequence[str], found: Sequence[Disagreement]) -> list[str]:
    """Return a sentence on the clearest disagreement, naming the arms by their index."""
    if not found:
        return []
    worst = found[0]
    pair = f"arms {arms[worst.first]} and {arms[worst.second]} differ by {worst.pooled:+.3g}"
    return [
        f"Rewards moved while weights did: pooled over time, {pair}, compared at the same times by {worst.robust:+.3g}."
    ]
