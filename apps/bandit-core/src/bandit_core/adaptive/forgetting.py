"""Forgetting: what a version or a period of the log still counts, by its age.

A reward's weight halves with every half-life of age, and the prior never fades, so beliefs drift towards it (forward
decay, as `posteriors.DecayedBeta`). The sums themselves stay exact integers. They are multiplied when they are read: so
no order of events matters, nothing is lost, and another half-life only reads them differently.

All rewards of a version, or of a merged period, fade together, by the mean time of its decisions. Within a span of
length d that gives a reward at most 2^(d / half-life) times what it should count, or as much less. `merge_plan` keeps
periods short beside their age.

Effective sizes count a faded reward as a part of one: all sums of a pair are multiplied by the same factor, so with
constant weights n_e is the number of rewards that a decayed Beta posterior counts. Effects (`effect`) are taken from
sums that never fade: their promise is about the whole time.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.checks import check_number

type Array = NDArray[np.float64]


def decay_factors(times: ArrayLike, now: float, half_life: float | None) -> Array:
    """Return what rewards of these times (V,) count at `now`: 1 without a half-life, and for times after `now`.

    Times and half-life are in one unit. ValueError unless the half-life is positive.
    """
    age = np.maximum(now - np.asarray(times, dtype=np.float64), 0.0)
    if half_life is None:
        return np.ones_like(age)
    check_number("half_life", half_life, low=0.0, exclusive=True)
    factors: Array = np.exp2(-age / half_life)
    return factors


def decayed(sums: PairSums, times: ArrayLike, now: float, half_life: float | None) -> PairSums:
    """Return the sums over V versions or periods (first axis), as they count at `now`."""
    return sums.summed(decay_factors(times, now, half_life))
