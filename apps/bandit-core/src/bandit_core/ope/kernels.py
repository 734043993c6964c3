"""The compiled loops of off-policy evaluation: one pass over the rounds, no array of n × n_arms numbers in between.

Imported where they are first needed, so that the rest of the package loads without numba. The loops release the global
interpreter lock.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Whole = NDArray[np.int64]

NO_POSITIONS = np.empty(0, dtype=np.int64)
NO_MODEL = np.empty((0, 0))
NOTHING = np.empty(0)


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def weigh_rounds(
    arms: Whole,
    propensities: Floats,
    positions: Whole,
    target: Floats,
    target_by_round: bool,  # noqa: FBT001 - compiled functions take no keywords
    q_hat: Floats,
    q_by_round: bool,  # noqa: FBT001
    weights: Floats,
    expected: Floats,
    predicted: Floats,
    mass: Floats,
    played: Whole,
    tolerance: float,
) -> int:
    """Fill weights, expected, predicted (n,); add to mass and played (n_positions, n_arms); return the first bad row.

    A row is bad when its target probabilities are not in [0, 1] or do not add up to 1 within the tolerance, or when the
    reward model is not finite there; -1 says that there is none. `positions` is NO_POSITIONS for a log without, `q_hat`
    NO_MODEL where there is no reward model: expected and predicted are then left as they are.
    """
    n_arms = target.shape[1]
    has_positions, has_model = positions.size > 0, q_hat.size > 0
    for i in range(arms.size):
        position = positions[i] if has_positions else 0
        pi = target[i if target_by_round else position]
        total, lowest, value = 0.0, 0.0, 0.0
        if has_model:
            q = q_hat[i if q_by_round else position]
            for a in range(n_arms):
                value += pi[a] * q[a]
            if not np.isfinite(value):
                return i
            expected[i] = value
            predicted[i] = q[arms[i]]
        for a in range(n_arms):
            total += pi[a]
            lowest = min(lowest, pi[a])
            mass[position, a] += pi[a]
        if not (lowest >= 0.0 and abs(total - 1.0) <= tolerance):
            return i
        weights[i] = pi[arms[i]] / propensities[i]
        played[position, arms[i]] += 1
    return -1


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def sum_up(
    rewards: Floats, gain: Floats, baseline: Floats | None, share: Floats | None, weights: Floats | None
) -> tuple[tuple[float, ...], tuple[float, ...], float, int, int]:
    """Return of m rounds: means, centered sums of products, the largest weight, how many are matched, and rewarded.

    Means: of baseline, gain, share, weight, weight × reward. Products: baseline², baseline gain, baseline share, gain²,
    gain share, share², weight², (weight × reward)². A None is compiled away.
    """
    m = gain.size
    b = g = s = w = e = 0.0
    matches = rewarded = 0
    largest = 0.0
    for i in range(m):
        g += gain[i]
        if baseline is not None:
            b += baseline[i]
        if share is not None:
            s += share[i]
        if weights is not None:
            w += weights[i]
            e += weights[i] * rewards[i]
            matches += weights[i] > 0.0
            rewarded += weights[i] * rewards[i] != 0.0
            largest = max(largest, weights[i])
    b, g, s, w, e = b / m, g / m, (1.0 if share is None else s / m), w / m, e / m
    bb = bg = bs = gg = gs = ss = ww = ee = 0.0
    for i in range(m):
        dg = gain[i] - g
        gg += dg * dg
        if baseline is not None:
            db = baseline[i] - b
            bb += db * db
            bg += db * dg
        if share is not None:
            ds = share[i] - s
            ss += ds * ds
            gs += dg * ds
        if baseline is not None and share is not None:
            bs += (baseline[i] - b) * (share[i] - s)
        if weights is not None:
            dw, de = weights[i] - w, weights[i] * rewards[i] - e
            ww += dw * dw
            ee += de * de
    return (b, g, s, w, e), (bb, bg, bs, gg, gs, ss, ww, ee), largest, matches, rewarded


RUN = 256
"""Consecutive rounds among which one byte chooses."""


@njit(nogil=True, cache=True)
def sum_resamples(columns: Floats, counts: Whole, seeds: NDArray[np.uint64], sums: Floats) -> None:
    """Fill sums (b, c): of columns (c, n), over as many rounds drawn from each run as counts (b, runs) says.

    Resample i draws from the SplitMix64 sequence of seeds[i] (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
    number generators"): its words are a function of their place, so that every column sees the same draws.
    """
    c, n = columns.shape
    resamples, runs = counts.shape
    for b in range(resamples):
        for k in range(c):
            total, place = 0.0, seeds[b]
            for run in range(runs):
                values, drawn = columns[k, run * RUN : min(n, run * RUN + RUN)], counts[b, run]
                if values.size == RUN:
                    total += _sum_by_bytes(values, drawn, place)
                else:
                    total += _sum_by_words(values, drawn, place)
                place += np.uint64(drawn) * _STRIDE
            sums[b, k] = total


_STRIDE = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True, inline="always")
def _word(place: np.uint64) -> np.uint64:
    z = place
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True, inline="always")
def _sum_by_bytes(values: Floats, drawn: int, place: np.uint64) -> float:
    total, byte = 0.0, np.uint64(255)
    for _ in range(drawn // 8):
        w = _word(place)
        place += _STRIDE
        total += (
            (values[w & byte] + values[(w >> np.uint64(8)) & byte])
            + (values[(w >> np.uint64(16)) & byte] + values[(w >> np.uint64(24)) & byte])
        ) + (
            (values[(w >> np.uint64(32)) & byte] + values[(w >> np.uint64(40)) & byte])
            + (values[(w >> np.uint64(48)) & byte] + values[w >> np.uint64(56)])
        )
    w = _word(place)
    for _ in range(drawn % 8):
        total += values[w & byte]
        w >>= np.uint64(8)
    return total


@njit(nogil=True, cache=True, inline="always")
def _sum_by_words(values: Floats, drawn: int, place: np.uint64) -> float:
    """The last run, of fewer rounds: a word modulo its size is uniform to within 2⁻⁵⁶."""
    total = 0.0
    for _ in range(drawn):
        total += values[_word(place) % np.uint64(values.size)]
        place += _STRIDE
    return total
