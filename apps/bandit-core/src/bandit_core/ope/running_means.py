"""The reward model for adaptive logs: every arm's mean reward in the earlier, resolved decisions."""

import numpy as np
from numpy.typing import NDArray

from bandit_core.ope.logged import LoggedDecisions

type Floats = NDArray[np.float64]


def running_means(log: LoggedDecisions, known: NDArray[np.int64], *, start: float) -> Floats:
    """Return q̂ (n, n_arms): what each decision could expect of every arm in its position, in units of the reward.

    Row t uses the first known[t] decisions and no others. An arm's mean is shrunk, with the weight of one decision,
    towards the mean of all arms, and that one in the same way towards `start`.
    """
    overall = (start + _totals(log.rewards)[known]) / (1.0 + known)
    positions = np.zeros(len(log), dtype=np.int64) if log.positions is None else log.positions
    q_hat = np.empty((len(log), log.n_arms))
    for position in range(log.n_positions):
        rows = positions == position
        looked_up = known[rows]
        for arm in range(log.n_arms):
            played = (rows & (log.arms == arm)).astype(np.float64)
            total, count = _totals(played * log.rewards)[looked_up], _totals(played)[looked_up]
            q_hat[rows, arm] = (overall[rows] + total) / (1.0 + count)
    return q_hat


def _totals(values: Floats) -> Floats:
    """Return the sums (n + 1,) of the first 0, 1, ..., n values."""
    return np.concatenate([[0.0], np.cumsum(values)])
