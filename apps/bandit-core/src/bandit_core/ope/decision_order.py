"""What was known when: how many of the earlier decisions were resolved at the time of each decision.

On an adaptive log everything estimated along the way (a reward model, a bet) may use earlier decisions only. A decision
whose reward window is still open says nothing yet: rewards that came in early would be seen before the missing ones
that turn out to be zeros. So what counts as known ends at the oldest decision still unresolved.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Whole = NDArray[np.int64]


def resolved_before(decided_at: ArrayLike, resolved_at: ArrayLike) -> Whole:
    """Return, for each of n decisions in order, how many of the first ones were all resolved when it was made.

    decided_at (n,), non-decreasing, and resolved_at (n,), each at or after its decision and infinite while the reward
    is open, are times of one clock, for example seconds. A decision is resolved when its reward can no longer change.
    """
    decided, resolved = np.asarray(decided_at, dtype=np.float64), np.asarray(resolved_at, dtype=np.float64)
    if decided.ndim != 1 or decided.shape != resolved.shape:
        raise ValueError(f"times must be two arrays of shape (n,), got {decided.shape} and {resolved.shape}")
    if not (np.diff(decided) >= 0.0).all():
        raise ValueError("decisions must stand in the order in which they were made: sort the log by decided_at")
    if not (resolved >= decided).all():
        raise ValueError("a decision cannot be resolved before it is made")
    known = np.searchsorted(np.maximum.accumulate(resolved), decided, side="right")
    return np.minimum(known, np.arange(len(decided))).astype(np.int64)


def check_resolved_before(given: ArrayLike | None, n: int) -> Whole:
    """Return the numbers (n,) of decisions known before each one; all earlier ones where nothing is given.

    ValueError unless they are whole, do not decrease, and row t knows at most the t decisions before it.
    """
    if given is None:
        return np.arange(n, dtype=np.int64)
    known = np.asarray(given)
    if known.shape != (n,) or not np.issubdtype(known.dtype, np.integer):
        raise ValueError(f"resolved_before must be whole numbers of shape ({n},), got {known.dtype} of {known.shape}")
    if not ((known >= 0) & (known <= np.arange(n))).all() or not (np.diff(known) >= 0).all():
        raise ValueError("resolved_before must not decrease, and row t can know at most the t decisions before it")
    return known.astype(np.int64)
