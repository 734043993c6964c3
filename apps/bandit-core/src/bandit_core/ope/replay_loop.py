"""The compiled loop of replay: it runs until a position's weights are due, and goes on where it stopped.

Imported where it is first needed, so that the rest of the package loads without numba.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Whole = NDArray[np.int64]

NO_POSITIONS = np.empty(0, dtype=np.int64)
END = -1


@njit(nogil=True, cache=True)
def match_rows(
    arms: Whole,
    rewards: Floats,
    propensities: Floats,
    positions: Whole,
    uniforms: Floats,
    min_propensity: float,
    every: int,
    weights: Floats,
    successes: Floats,
    failures: Floats,
    since_refresh: Whole,
    reward_sums: Floats,
    row_sums: Floats,
    cursor: Whole,
    matched_rows: Whole,
    matched_propensities: Floats,
) -> int:
    """Replay from row cursor[0] on; return the position that has had `every` matches since its last refresh, or END.

    Updates in place: successes, failures, reward_sums and row_sums (n_positions, n_arms), since_refresh (n_positions,),
    and cursor: the next row, and how many matches stand in matched_rows and matched_propensities.
    """
    has_positions = positions.size > 0
    count = cursor[1]
    for i in range(cursor[0], arms.size):
        arm, reward = arms[i], rewards[i]
        position = positions[i] if has_positions else 0
        reward_sums[position, arm] += reward / propensities[i]
        row_sums[position, arm] += 1.0 / propensities[i]
        weight = weights[position, arm]
        if uniforms[i] * propensities[i] < weight * min_propensity:
            matched_rows[count] = i
            matched_propensities[count] = weight
            count += 1
            successes[position, arm] += reward
            failures[position, arm] += 1.0 - reward
            since_refresh[position] += 1
            if since_refresh[position] >= every:
                cursor[0], cursor[1] = i + 1, count
                return position
    cursor[0], cursor[1] = arms.size, count
    return END
