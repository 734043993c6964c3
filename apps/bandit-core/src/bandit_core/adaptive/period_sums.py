"""Versions that are over, merged into periods: the same sums as exact integers, so that no order changes them.

Counts are whole, rewards and their squares are whole millionths, weights and overlap weights whole billionths. Products
of them are integers of any size in Python and in Postgres (`numeric`). A bigint holds Σq of 9 · 10⁹ decisions, but Σqr
of 9,000 only, so the other sums need `numeric`. To read them, `read` divides each once.

`merge_plan` says which neighbours in time become one. Merging changes no sum. It only makes time coarser, which matters
to forgetting and to the search for changes. So those neighbours go first whose span is shortest beside their age: the
lengths of periods then grow in proportion to their age, as in an exponential histogram (Datar, Gionis, Indyk and
Motwani 2002, "Maintaining stream statistics over sliding windows").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bandit_core.adaptive.pair_sums import NANO, PairSums, overlap_weights, rounded_weights

type Integers = NDArray[np.object_]

MICRO: Final = 10**6
MOST_PERIODS: Final = 200

_UNITS: Final[Mapping[str, int]] = {
    "count": 1,
    "total": MICRO,
    "squares": MICRO,
    "q": NANO,
    "qr": NANO * MICRO,
    "q2": NANO**2,
    "q2r": NANO**2 * MICRO,
    "q2r2": NANO**2 * MICRO,
    "centred_count": NANO,
    "centred_total": NANO * MICRO,
    "information": NANO**2,
}
"""How many of its units one reward, one decision or one overlap weight makes, for each sum of `PairSums`."""


@dataclass(frozen=True, slots=True, eq=False)
class PeriodSums:
    """What `PairSums` holds, of K arms and exact: each field is an array of Python's integers, in the units of _UNITS.

    A period has the same sums for every order in which its versions were merged.
    """

    count: Integers
    total: Integers
    squares: Integers
    q: Integers
    qr: Integers
    q2: Integers
    q2r: Integers
    q2r2: Integers
    centred_count: Integers
    centred_total: Integers
    information: Integers

    @classmethod
    def of_version(
        cls,
        weights: Sequence[float] | None,
        count: Sequence[int],
        total: Sequence[int],
        squares: Sequence[int],
    ) -> Self:
        """Return the sums of one version: its weights, and count, rewards and squares, in millionths, of each arm.

        `weights` is None if they are unknown; see `PairSums.of`.
        """
        n, s, t = (np.array(list(each), dtype=object) for each in (count, total, squares))
        unknown = [float("nan")] * len(n)
        rounded = rounded_weights(np.array(unknown if weights is None else weights, dtype=np.float64), _floats(n))
        q, w = _whole(overlap_weights(rounded)), _whole(rounded)
        q2 = q * q
        between = -sum(n) * np.outer(w, w)
        np.fill_diagonal(between, 0)
        np.fill_diagonal(between, -between.sum(axis=1))
        return cls(
            count=n,
            total=s,
            squares=t,
            q=q * n[:, None],
            qr=q * s[:, None],
            q2=q2 * n[:, None],
            q2r=q2 * s[:, None],
            q2r2=q2 * t[:, None],
            centred_count=n * NANO - w * sum(n),
            centred_total=s * NANO - w * sum(s),
            information=between,
        )

    def __add__(self, other: "PeriodSums") -> Self:
        return type(self)(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PeriodSums):
            return NotImplemented
        return all(np.array_equal(getattr(self, each.name), getattr(other, each.name)) for each in fields(self))

    __hash__ = None  # type: ignore[assignment]

    def padded(self, arms: int) -> Self:
        """Return the sums with room for arms that joined later, which have nothing in them."""
        return type(self)(*(_with_room(getattr(self, each.name), arms) for each in fields(self)))

    def read(self) -> PairSums:
        """Return the sums as floats, each rounded once."""
        return PairSums(**{name: _floats(getattr(self, name), unit) for name, unit in _UNITS.items()})

    def to_record(self) -> dict[str, Any]:
        """Return the sums as lists of integers, ready for JSON."""
        return {each.name: getattr(self, each.name).tolist() for each in fields(self)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the sums that `to_record` described."""
        return cls(**{each.name: np.array(record[each.name], dtype=object) for each in fields(cls)})


def merge_plan(starts: Sequence[float], ends: Sequence[float], most: int = MOST_PERIODS) -> list[range]:
    """Return which of the periods, given in the order of time, become one, so that at most `most` are left.

    `starts` and `ends` are seconds of one clock. Each range holds the indices of neighbours. Nothing is merged that
    need not be. ValueError unless there are as many ends as starts and `most` is at least 1.
    """
    if len(starts) != len(ends) or most < 1:
        raise ValueError("every period needs a start and an end, and at least one must be left")
    first, last = np.array(starts, dtype=np.float64), np.array(ends, dtype=np.float64)
    groups = [range(index, index + 1) for index in range(len(first))]
    while len(groups) > most:
        # Age is counted from the newest end, and by the union's own: the newest two can only be merged last.
        span, age = last[1:] - first[:-1], last[-1] - last[1:]
        cost = np.divide(span, age, out=np.full_like(span, np.inf), where=age > 0.0)
        at = int(np.argmin(cost))
        groups[at : at + 2] = [range(groups[at].start, groups[at + 1].stop)]
        last, first = np.delete(last, at), np.delete(first, at + 1)
    return groups


def _with_room(values: Integers, arms: int) -> Integers:
    larger: Integers = np.zeros((arms,) * values.ndim, dtype=object)
    larger[tuple(slice(size) for size in values.shape)] = values
    return larger


def _whole(values: NDArray[np.float64]) -> Integers:
    """Return whole numbers up to 10⁹ as Python's integers."""
    whole: Integers = values.astype(np.int64).astype(object)
    return whole


def _floats(values: Integers, unit: int = 1) -> NDArray[np.float64]:
    return np.array([value / unit for value in values.ravel()], dtype=np.float64).reshape(values.shape)
