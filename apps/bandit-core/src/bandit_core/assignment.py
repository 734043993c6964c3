"""From weights to one arm: a random draw, a sticky assignment, or the holdout.

The three hashes of this file are a contract: another digest, key or encoding would reassign every unit.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

SUM_TOLERANCE = 1e-6

_ARM = b"bandit-arm"
_HOLDOUT = b"bandit-holdout"


class Sampler:
    """Draw arms from one probability vector, many times.

    The propensity of a drawn arm is its weight. Cumulative sums are taken once; a draw is one binary search.
    """

    __slots__ = ("_cumulative",)

    def __init__(self, weights: Sequence[float] | NDArray[np.float64]) -> None:
        """Accept K weights, each >= 0, summing to 1 within 1e-6; raise ValueError otherwise."""
        self._cumulative = _cumulative(np.asarray(weights, dtype=np.float64).tolist())

    def draw(self, u: float) -> int:
        """Return the index of the arm that the uniform number `u` in [0, 1] falls on; never one of weight 0.

        What rounding left of the sum belongs to the last arm with a positive weight.
        """
        if not 0.0 <= u <= 1.0:
            raise ValueError(f"u must be a uniform random number between 0 and 1, but it is {u}.")
        return bisect_right(self._cumulative, u)


def draw(weights: Sequence[float] | NDArray[np.float64], u: float) -> int:
    """Return one arm index by inverse CDF; use a `Sampler` when many draws share the weights."""
    return Sampler(weights).draw(u)


def drawn_from(weights: Sequence[float], u: float) -> int:
    """Return the arm index that a `Sampler` of these weights draws, for one draw from a vector that was just computed.

    The weights are taken as they are: at least 0, at least one of them positive, and with a sum of 1.
    """
    total = 0.0
    for index, weight in enumerate(weights):
        total += weight
        if u < total:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0.0)


def rendezvous(weights: Mapping[str, float], *, salt: bytes, experiment: str, unit: str) -> str:
    """Return the arm a unit sticks to: the argmin over arms of -ln u(salt, experiment, unit, arm) / weight.

    Weighted rendezvous hashing (Schindelhauer and Schomaker 2005, "Weighted distributed hash tables", the logarithmic
    method): over units, an arm is chosen with probability weight / sum of weights, whatever the order of the arms.
    When one arm's weight grows against all others, units move into that arm only. For a change from weights p to q the
    share of units that stay is sum_i 1 / sum_j max(p_j / p_i, q_j / q_i) over the arms with p_i, q_i > 0 (Moulton and
    Jiang 2018, "Maximally consistent sampling and the Jaccard index of probability distributions"), and no way of
    hashing keeps more units for one change without keeping fewer for another. The moved share thus lies between TV and
    2 TV / (1 + TV), where TV is the total variation distance of the normalised weights; it equals TV, the least
    possible, when all arms but one keep their ratios.

    `salt` has at most 64 bytes. Arms of weight 0 are never chosen.
    Raises ValueError for a weight that is negative or not finite, and when no weight is positive.
    """
    unit_key = _keyed_hash(salt, _ARM, experiment, unit)
    best_arm, best_score = None, math.inf
    for arm, weight in weights.items():
        if 0.0 < weight < math.inf:
            digest = blake2b(arm.encode(), digest_size=8, key=unit_key).digest()
            score = -math.log(_uniform(digest)) / weight
            if score < best_score:
                best_arm, best_score = arm, score
        elif weight != 0.0:
            raise ValueError(f"The weight of arm {arm!r} must be a finite number >= 0, but it is {weight}.")
    if best_arm is None:
        raise ValueError("At least one arm must have a positive weight.")
    return best_arm


def in_holdout(share: float, *, salt: bytes, experiment: str, unit: str) -> bool:
    """Say whether a unit belongs to the holdout: a fixed share (in [0, 1]) of all units, independent of their arms.

    Growing the share keeps every unit that was in. `salt` has at most 64 bytes.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"The holdout share must lie between 0 and 1, but it is {share}.")
    return _uniform(_keyed_hash(salt, _HOLDOUT, experiment, unit)) < share


def _cumulative(weights: list[float]) -> list[float]:
    if not all(weight >= 0.0 for weight in weights):
        raise ValueError(f"Weights must be numbers >= 0, but they are {weights}.")
    total = math.fsum(weights)
    if abs(total - 1.0) > SUM_TOLERANCE:
        raise ValueError(f"Weights must sum to 1, but they sum to {total}.")
    last = max(index for index, weight in enumerate(weights) if weight > 0.0)
    # A draw is the first arm whose cumulative weight exceeds u: infinity lets the last positive arm catch the rest.
    return [*accumulate(weights[:last]), *[math.inf] * (len(weights) - last)]


def _keyed_hash(salt: bytes, purpose: bytes, experiment: str, unit: str) -> bytes:
    if len(salt) > blake2b.MAX_KEY_SIZE:
        raise ValueError(f"The salt may have at most {blake2b.MAX_KEY_SIZE} bytes, but it has {len(salt)}.")
    name = experiment.encode()
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    message = len(name).to_bytes(4) + name + unit.encode()
    return blake2b(message, digest_size=32, key=salt, person=purpose).digest()


def _uniform(digest: bytes) -> float:
    """Map the first 52 bits of a digest to the midpoints of 2^52 cells: strictly inside (0, 1), where ln is finite."""
    return ((int.from_bytes(digest[:8]) >> 12) + 0.5) * 2.0**-52
