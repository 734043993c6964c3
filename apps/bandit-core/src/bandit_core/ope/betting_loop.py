"""The compiled loop of the confidence sequence: bets on candidate values.

Imported where it is first needed, so that the rest of the package loads without numba.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Whole = NDArray[np.int64]


@njit(nogil=True, cache=True)
def lower_bounds(
    outcomes: Floats, shifts: Floats, known: Whole, error: float, most: float, candidates: Floats, bounds: Floats
) -> None:
    """Fill bounds (n,): the largest candidate whose capital has reached 1 / error by then, 0 while there is none.

    candidates (m,) are positive and increase. Capital falls from one candidate to the next, so that those that are
    rejected are always the first ones.
    """
    capital = np.ones(candidates.size)
    first, bound = 0, 0.0
    total, squares = 0.0, 0.25
    learned = 0
    for t in range(outcomes.size):
        while learned < known[t]:
            total += outcomes[learned]
            squares += (outcomes[learned] - min(total / (learned + 1), 1.0)) ** 2
            learned += 1
        variance = squares / (learned + 1)
        bet = math.sqrt(2.0 * math.log(1.0 / error) / (variance * (t + 1) * math.log(t + 2.0)))
        outcome, shift = outcomes[t], shifts[t]
        limited = np.searchsorted(candidates, most / bet - shift)
        for j in range(first, limited):
            capital[j] *= 1.0 + bet * (outcome - candidates[j])
        for j in range(max(first, limited), candidates.size):
            capital[j] *= 1.0 + most * (outcome - candidates[j]) / (shift + candidates[j])
        while first < candidates.size and capital[first] >= 1.0 / error:
            bound = candidates[first]
            first += 1
        bounds[t] = bound
