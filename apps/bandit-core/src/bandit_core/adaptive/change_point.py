"""Has the difference between two arms changed? A search over the periods of the log, for a finding and nothing more.

For every split of the periods, the difference of a pair before it is compared with the difference after it. Both are
taken within versions, so a trend or a swing that moves both arms alike shows no change. The largest statistic over all
splits and pairs is compared with THRESHOLD (a CUSUM of contrasts; Page 1954, "Continuous inspection schemes"). It is no
p-value: docs/statistics.md has a table of its false alarms in worlds without a change.

A change costs information: where one arm has nearly all traffic, a change of the other shows late. Nothing is reset by
it: what finds a swap of arms soon takes a trend for one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit_core.adaptive.pair_sums import PairSums

type Array = NDArray[np.float64]

THRESHOLD: Final = 4.0
LEAST_SIZE: Final = 30.0
"""Both arms need this effective size on both sides of a split."""


@dataclass(frozen=True, slots=True)
class Change:
    """The clearest change: after the period `split` − 1, the lead of arm `first` over arm `second` went up or down.

    `before` and `after` are the differences of their means; `statistic` is their distance in standard errors.
    """

    first: int
    second: int
    split: int
    before: float
    after: float
    statistic: float

    @property
    def is_found(self) -> bool:
        return self.statistic >= THRESHOLD


def find_change(periods: PairSums) -> Change | None:
    """Return the clearest change among P periods in the order of time, first axis; None if there is too little data."""
    running = periods.running()
    total = PairSums(*(getattr(running, name)[-1:] for name in PairSums.__slots__))
    before = PairSums(*(getattr(running, name)[:-1] for name in PairSums.__slots__))
    after = PairSums(*(getattr(total, name) - getattr(before, name) for name in PairSums.__slots__))
    statistic, first, second = change_statistics(before, after)
    upper = np.triu(np.ones(statistic.shape[-2:], dtype=np.bool_), 1)
    statistic = np.where(upper, statistic, 0.0)
    if not statistic.any():
        return None
    split, i, j = (int(each) for each in np.unravel_index(int(statistic.argmax()), statistic.shape))
    return Change(i, j, split + 1, float(first[split, i, j]), float(second[split, i, j]), float(statistic[split, i, j]))


def change_statistics(before: PairSums, after: PairSums) -> tuple[Array, Array, Array]:
    """Return the statistics (..., K, K), and the differences before and after; 0 where there is too little data."""
    (first, first_inverse, first_known), (second, second_inverse, second_known) = map(_difference, (before, after))
    variance = _variance(before + after) * (first_inverse + second_inverse)
    known = first_known & second_known & (variance > 0.0)
    statistic = np.abs(second - first) / np.sqrt(np.where(known, variance, 1.0))
    return np.where(known, statistic, 0.0), first, second


def _difference(sums: PairSums) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return differences, the sum of both inverse effective sizes, and whether both are large enough."""
    size, mean = sums.effective_size, sums.mean
    inverse = 1.0 / np.maximum(size, np.finfo(np.float64).tiny)
    known = np.minimum(size, np.swapaxes(size, -1, -2)) >= LEAST_SIZE
    return mean - np.swapaxes(mean, -1, -2), np.where(known, inverse + np.swapaxes(inverse, -1, -2), 0.0), known


def _variance(sums: PairSums) -> Array:
    """Return the variance of a reward of each pair around its common mean, all decisions counting alike."""
    count, total, squares = (each[..., :, None] + each[..., None, :] for each in (sums.count, sums.total, sums.squares))
    many = np.maximum(count, 1.0)
    variance: Array = np.maximum(squares / many - (total / many) ** 2, 0.0)
    return variance
