"""What one arm's linear model is made of, as exact sums: the same after any order and any batching of observations.

The numbers of a context, and the reward, are rounded once to millionths; from there on everything is integers
(`outer_sums`), so a model that is rebuilt from its observations is the same to the bit. Only `model` computes in
float64, from the sums alone.

With a half-life, an observation weighs 2^(−age / half_life), its age measured from the newest one. Sums are kept for
each period of one half-life, in which every vector is scaled by its time within the period before it is rounded; a
period's weight is applied when a model is made. That is exact in order and batching as well. It differs from
`LinearArm.update` in what is late: an observation with an earlier time counts as old as it is, not in full, because
when it arrived is not part of it. What is 32 half-lives older than the newest observation is dropped whenever it comes.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from bandit_core.features import GREATEST
from bandit_core.linear import LinearArm, LinearPrior
from bandit_core.outer_sums import OuterSum

type Array = NDArray[np.float64]
type Integers = NDArray[np.int64]

MICRO: Final = 1_000_000
KEPT_HALF_LIVES: Final = 32
_HEAD: Final = struct.Struct("<4sI?dQdI")
_PERIOD: Final = struct.Struct("<qI")
_MAGIC: Final = b"LSM1"
_NEVER: Final = -math.inf


@dataclass(frozen=True, slots=True, eq=False)
class LinearSums:
    """The sums of one arm's observations, by period.

    `dimension` and `half_life` are those of the prior; `count` says how many observations there were, also those that
    were dropped since, and `newest` when the newest was made (seconds).
    """

    dimension: int
    half_life: float | None
    count: int
    newest: float
    periods: Mapping[int, OuterSum]

    @classmethod
    def of(cls, prior: LinearPrior) -> Self:
        """Return the sums of no observations."""
        return cls(prior.dimension, prior.half_life, 0, _NEVER, MappingProxyType({}))

    def fits(self, prior: LinearPrior) -> bool:
        """Say whether the sums can be used with a prior; its ridge may be another one."""
        return (self.dimension, self.half_life) == (prior.dimension, prior.half_life)

    def plus(self, contexts: Array, rewards_micro: Integers, times: Array) -> "LinearSums":
        """Return the sums with further observations.

        `contexts` (N, d) are vectors with their intercept, `rewards_micro` (N,) whole millionths, `times` (N,) seconds.
        ValueError for other shapes, numbers that are not finite or beyond ±1e6, or rewards beyond that.
        """
        if len(contexts) == 0:
            return self
        vectors = _vectors(self.dimension, contexts, rewards_micro)
        periods = dict(self.periods)
        numbers = self._periods_of(times)
        for number in np.unique(numbers).tolist():
            chosen = numbers == number
            scaled = self._scaled(vectors[chosen], times[chosen], number)
            periods[number] = periods.get(number, OuterSum.of(self.dimension + 1)).plus(scaled)
        oldest = max(periods) - KEPT_HALF_LIVES
        kept = {number: periods[number] for number in sorted(periods) if number > oldest}
        newest = max(self.newest, float(times.max()))
        return replace(self, count=self.count + len(contexts), newest=newest, periods=MappingProxyType(kept))

    def model(self, prior: LinearPrior, at: float) -> LinearArm:
        """Return the posterior at a time (seconds), which the observations fade to; it is none before the newest."""
        at = max(at, self.newest)
        total = np.zeros((self.dimension + 1, self.dimension + 1))
        for number, each in self.periods.items():
            total += self._weight(number, at) / MICRO**2 * each.to_float()
        precision = total[:-1, :-1] + prior.ridge * np.eye(self.dimension)
        return LinearArm(precision, total[:-1, -1], None, self.count, at if self.count else 0.0)

    def to_bytes(self) -> bytes:
        """Return the sums exactly, little-endian: equal sums have equal bytes."""
        half_life = self.half_life or 0.0
        head = _HEAD.pack(
            _MAGIC, self.dimension, self.half_life is not None, half_life, self.count, self.newest, len(self.periods)
        )
        states = [(number, self.periods[number].to_bytes()) for number in sorted(self.periods)]
        return head + b"".join(_PERIOD.pack(number, len(state)) + state for number, state in states)

    @classmethod
    def from_bytes(cls, state: bytes) -> Self:
        """Return the sums that `to_bytes` described; ValueError for anything else."""
        if len(state) < _HEAD.size or state[:4] != _MAGIC:
            raise ValueError("not the state of linear sums")
        _, dimension, fades, half_life, count, newest, number_of_periods = _HEAD.unpack_from(state)
        periods, place = {}, _HEAD.size
        try:
            for _ in range(number_of_periods):
                number, length = _PERIOD.unpack_from(state, place)
                place += _PERIOD.size
                periods[number] = OuterSum.from_bytes(state[place : place + length], dimension + 1)
                place += length
        except struct.error:
            raise ValueError("the state of linear sums was cut off") from None
        return cls(dimension, half_life if fades else None, count, newest, MappingProxyType(periods))

    def _periods_of(self, times: Array) -> Integers:
        if self.half_life is None:
            return np.zeros(len(times), np.int64)
        return np.floor(times / self.half_life).astype(np.int64)

    def _scaled(self, vectors: Integers, times: Array, number: int) -> Integers:
        """Return vectors whose outer products weigh what they do at the start of their period."""
        if self.half_life is None:
            return vectors
        scales = np.exp2((times / self.half_life - number) / 2.0)
        return np.rint(vectors * scales[:, None]).astype(np.int64)

    def _weight(self, number: int, at: float) -> float:
        return 1.0 if self.half_life is None else 2.0 ** (number - at / self.half_life)


def _vectors(dimension: int, contexts: Array, rewards_micro: Integers) -> Integers:
    """Return contexts and rewards beside each other (N, d + 1), in millionths."""
    if contexts.ndim != 2 or contexts.shape[1] != dimension:
        raise ValueError(f"contexts must have the shape (N, {dimension}), got {contexts.shape}")
    # A NaN compares false with everything, so it is refused too.
    if not np.all(np.abs(contexts) <= GREATEST):
        raise ValueError(f"contexts must consist of finite numbers within ±{GREATEST:g}")
    if not np.all(np.abs(rewards_micro) <= GREATEST * MICRO):
        raise ValueError(f"rewards must lie within ±{GREATEST:g}")
    return np.column_stack([np.rint(contexts * MICRO).astype(np.int64), rewards_micro.astype(np.int64)])
