"""What decisions whose reward window is still open say, for the choice of weights.

Where a missing reward counts as a failure, a failure is known when the window closes and a success when it comes. To
count closed decisions only is right, and late. To count every open one as a failure until its success comes favours the
arm whose successes come fast. So an open decision counts for the share F(a) of a decision: the share of its arm's
successes that have usually come by its age a, as closed decisions say. A success counts when it comes.

    counted decisions = closed + F(age) · open,        counted successes = all that have come

is unbiased for the rate, since of the successes of open decisions the share F(age) has come. Until an arm has
FEWEST_SUCCESSES closed ones, those of all arms say F. Until all together have as many, which is before the first window
has closed, F is 1: every open decision is a failure until its success comes, and all arms are treated alike. If the
better arm is the slower one, weights may then lean to the other for one window.

Verdicts, effects, lifts and means come from closed decisions only.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Array = NDArray[np.float64]

FEWEST_SUCCESSES: Final = 30


def usual_share(arrivals: ArrayLike) -> Array:
    """Return F (..., K, A): the share of each arm's successes that have come by the end of each of A steps of age.

    `arrivals` (..., K, A) counts the successes of closed decisions by the step of age in which they came; the last step
    ends with the window.
    """
    came = np.asarray(arrivals, dtype=np.float64)
    together = _share(came.sum(axis=-2, keepdims=True), 1.0)
    return _share(came, together)


def counted_decisions(open_decisions: ArrayLike, share: ArrayLike) -> Array:
    """Return as how many decisions open ones count, by F at their age, in the common shape of both.

    For single cells that may be less than the successes that have come: add them to the closed ones first.
    """
    counted: Array = np.asarray(open_decisions, dtype=np.float64) * np.asarray(share, dtype=np.float64)
    return counted


def _share(came: Array, otherwise: float | Array) -> Array:
    total = came.sum(axis=-1, keepdims=True)
    share: Array = np.where(total >= FEWEST_SUCCESSES, came.cumsum(axis=-1) / np.maximum(total, 1.0), otherwise)
    return share
