"""Exact sums of outer products Σ z zᵀ of integer vectors: the same whatever the order, and however they are batched.

A product of two numbers of up to 2⁴¹ does not fit float64, in which BLAS multiplies. So each number is split into
z = 2¹⁶ h + l, and the products of the parts are summed by BLAS for as many rows as stay below 2⁵³, where float64 is
exact and the order of additions changes nothing. The sums are kept as 2⁴⁸ · high + low with 0 ≤ low < 2⁴⁸, which is
unique: equal sums have equal bytes.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

type Integers = NDArray[np.int64]
type Array = NDArray[np.float64]

GREATEST_INTEGER: Final = 2**41
"""How large the numbers of a vector may be."""

_SPLIT: Final = 16
_LOW_BITS: Final = 48
_LOW: Final = np.int64((1 << _LOW_BITS) - 1)
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True, eq=False)
class OuterSum:
    """Σ z zᵀ (n, n), as 2⁴⁸ · `high` + `low`. It holds 2³⁰ vectors of the greatest numbers at least."""

    high: Integers
    low: Integers

    @classmethod
    def of(cls, size: int) -> Self:
        """Return the sum over no vectors of `size` numbers."""
        return cls(np.zeros((size, size), np.int64), np.zeros((size, size), np.int64))

    def plus(self, vectors: Integers) -> "OuterSum":
        """Return the sum with further vectors (N, n); ValueError for another shape or numbers that are too large."""
        if vectors.ndim != 2 or vectors.shape[1] != len(self.low):
            raise ValueError(f"vectors must have the shape (N, {len(self.low)}), got {vectors.shape}")
        if vectors.size == 0:
            return self
        greatest = int(np.abs(vectors).max())
        if greatest > GREATEST_INTEGER:
            raise ValueError(f"the numbers must lie within ±2^41, got {greatest}")
        # No part is larger than this, so that many products stay exact.
        part = max(greatest >> _SPLIT, 1 << (_SPLIT - 1)) + 1
        high, low, at_once = self.high, self.low, _EXACT // (2 * part * part)
        for first in range(0, len(vectors), at_once):
            high, low = _added(high, low, vectors[first : first + at_once])
        return OuterSum(high, low)

    def to_float(self) -> Array:
        """Return the sum in float64. It depends on the sum alone."""
        total: Array = self.high.astype(np.float64) * 2.0**_LOW_BITS + self.low.astype(np.float64)
        return total

    def to_bytes(self) -> bytes:
        """Return the sum exactly, little-endian; of the symmetric matrices only the upper triangles."""
        upper = np.triu_indices(len(self.low))
        return self.high[upper].astype("<i8").tobytes() + self.low[upper].astype("<i8").tobytes()

    @classmethod
    def from_bytes(cls, state: bytes, size: int) -> Self:
        """Return the sum that `to_bytes` described; ValueError for another size."""
        numbers = np.frombuffer(state, "<i8").astype(np.int64)
        upper = np.triu_indices(size)
        if len(numbers) != 2 * len(upper[0]):
            raise ValueError("the state of a sum has another size")
        planes = np.zeros((2, size, size), np.int64)
        for plane, half in zip(planes, np.split(numbers, 2), strict=True):
            plane[upper] = half
            plane.T[upper] = half
        return cls(planes[0], planes[1])


def _added(high: Integers, low: Integers, vectors: Integers) -> tuple[Integers, Integers]:
    """Add the outer products of as many vectors as float64 sums exactly."""
    upper = (vectors + (1 << (_SPLIT - 1))) >> _SPLIT
    rest = vectors - (upper << _SPLIT)
    h, r = upper.astype(np.float64), rest.astype(np.float64)
    cross = h.T @ r
    upper_sum = (h.T @ h).astype(np.int64)
    cross_sum = (cross + cross.T).astype(np.int64)
    rest_sum = (r.T @ r).astype(np.int64)
    # 2³² upper + 2¹⁶ cross + rest, each cut where the low part ends, so that nothing overflows.
    carried = (upper_sum >> 16) + (cross_sum >> 32) + (rest_sum >> _LOW_BITS)
    below = ((upper_sum & 0xFFFF) << 32) + ((cross_sum & 0xFFFFFFFF) << _SPLIT) + (rest_sum & _LOW) + low
    return high + carried + (below >> _LOW_BITS), below & _LOW
