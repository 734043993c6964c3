"""What decisions whose reward window is still open say, for the choice of weights.

Where a missing reward counts as a failure, a failure is known when the window closes and a success when it comes. To
count closed decisions only is right, and late. To count every open one as a failure would favour the arm whose
successes come fast. So an open decision counts as the share of a failure's evidence that its age has earned: F(a), the
share of an arm's successes that had usually come by the age a, from its own closed decisions. A success that has come
counts at once.

    counted decisions = closed + F(age) · open,        counted successes = all that have come and F(age) > 0

is unbiased for the rate, since of the successes of the open ones the share F(age) has come. Until an arm has
FEWEST_SUCCESSES closed ones, F is 0 and its open decisions wait.

Verdicts, effects, lifts and means come from closed decisions only.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Array = NDArray[np.float64]

FEWEST_SUCCESSES: Final = 30


def usual_share(arrivals: ArrayLike) -> Array:
    """Return F (K, A): the share of each arm's successes that had come by the end of each of A steps of age.

    `arrivals` (K, A) counts the successes of closed decisions by the step of age in which they came; the last step
    ends with the window. An arm with fewer than FEWEST_SUCCESSES of them has 0.
    """
    came = np.asarray(arrivals, dtype=np.float64)
    total = came.sum(axis=-1, keepdims=True)
    enough = total >= FEWEST_SUCCESSES
    share: Array = np.where(enough, came.cumsum(axis=-1) / np.maximum(total, 1.0), 0.0)
    return share


def counted(open_decisions: ArrayLike, come: ArrayLike, share: ArrayLike) -> tuple[Array, Array]:
    """Return decisions and successes that open ones count as, in the common shape of all three arguments.

    `come` are those of the `open_decisions` whose success has come, `share` F at their age. A few decisions may count
    less than their successes; add them to the closed ones before anything is divided.
    """
    n, s, f = (np.asarray(each, dtype=np.float64) for each in (open_decisions, come, share))
    return f * n, np.where(f > 0.0, s, 0.0)
