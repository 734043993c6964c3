"""The ridge regression of one arm's rewards on context vectors: a Gaussian posterior of its coefficients.

With noise of standard deviation 1 and the prior θ ~ N(0, I / ridge), rewards r of contexts x leave θ ~ N(A⁻¹ b, A⁻¹)
with A = ridge · I + Σ x xᵀ and b = Σ r x (Bishop 2006, "Pattern Recognition and Machine Learning", eqs. 3.50 and 3.51).
The noise's standard deviation only scales A⁻¹, so it is left to the caller (`alpha` of the policies).

A⁻¹ is kept beside A by the Sherman–Morrison formula, in O(d²) an update. Rounding makes the two drift apart; the
drift is measured at every update along the new context, and beyond DRIFT the inverse is computed anew from A. What
is done depends on the state and the event alone, so the same events in the same order give the same bits: also on other
processors, since every sum is numpy's own, in a fixed order. BLAS and LAPACK add in an order that changes with the
processor and the number of threads.
"""

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_number, check_whole
from bandit_core.features import GREATEST, MOST_FEATURES

type Array = NDArray[np.float64]

DRIFT: Final = 1e-10
"""How far |A A⁻¹ x − x| may be off, relative to |x|, before A⁻¹ is computed anew."""

_HEAD: Final = struct.Struct("<4sI?Qd")
_MAGIC: Final = b"LIN1"


@dataclass(frozen=True, slots=True)
class LinearPrior:
    """What an arm is believed before any data, and how what is learnt fades.

    `dimension`: numbers of a context vector, the intercept included (1 to 128). `ridge` > 0: the prior's precision.
    `half_life`: seconds after which an observation weighs half, None for no decay; the prior never fades. ValueError
    for values out of range.
    """

    dimension: int
    ridge: float = 1.0
    half_life: float | None = None

    def __post_init__(self) -> None:
        check_whole("dimension", self.dimension, low=1)
        if self.dimension > MOST_FEATURES:
            raise ValueError(f"dimension must be at most {MOST_FEATURES}, got {self.dimension}")
        check_number("ridge", self.ridge, low=0.0, exclusive=True)
        if self.half_life is not None:
            check_number("half_life", self.half_life, low=0.0, exclusive=True)


@dataclass(frozen=True, eq=False)
class LinearArm:
    """One arm's posterior: `precision` A (d, d), `moment` b (d,), how many observations, and as of when (seconds).

    `inverse` is A⁻¹ where it is kept up to date; after a decay it is None, and computed when it is asked for. All
    arrays are read-only.
    """

    precision: Array
    moment: Array
    inverse: Array | None
    count: int
    as_of: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", _read_only(self.precision))
        object.__setattr__(self, "moment", _read_only(self.moment))
        if self.inverse is not None:
            object.__setattr__(self, "inverse", _read_only(self.inverse))

    @classmethod
    def of(cls, prior: LinearPrior) -> Self:
        """Return the prior as a posterior without observations."""
        identity = np.eye(prior.dimension)
        return cls(prior.ridge * identity, np.zeros(prior.dimension), identity / prior.ridge, 0, 0.0)

    @cached_property
    def covariance(self) -> Array:
        """A⁻¹ (d, d): the covariance of the coefficients where the noise has standard deviation 1."""
        return _read_only(_inverse(self.precision)) if self.inverse is None else self.inverse

    @cached_property
    def mean(self) -> Array:
        """The coefficients' posterior mean θ = A⁻¹ b (d,)."""
        return _read_only(_product(self.covariance, self.moment))

    def update(self, prior: LinearPrior, x: Array, reward: float, at: float) -> "LinearArm":
        """Return the posterior after one more observation, made at time `at` (seconds).

        With a half-life, older observations fade to `at` first; one that comes late, with an earlier time, counts in
        full. ValueError for a vector of another shape, numbers that are not finite or beyond ±1e6, or such a reward.
        """
        _check(prior, x, reward)
        faded = self.decayed(prior, at)
        precision = faded.precision + np.outer(x, x)
        inverse = None if faded.inverse is None else _updated_inverse(precision, faded.inverse, x)
        return LinearArm(precision, faded.moment + reward * x, inverse, faded.count + 1, max(faded.as_of, at))

    def decayed(self, prior: LinearPrior, at: float) -> "LinearArm":
        """Return the posterior at a later time: observations fade by 2^(−Δt / half_life), the prior does not."""
        if prior.half_life is None or self.count == 0 or at <= self.as_of:
            return self
        kept = 2.0 ** (-(at - self.as_of) / prior.half_life)
        precision = kept * self.precision
        precision[np.diag_indices(prior.dimension)] += (1.0 - kept) * prior.ridge
        return LinearArm(precision, kept * self.moment, None, self.count, at)

    def to_bytes(self) -> bytes:
        """Return the state exactly, little-endian."""
        arrays = [self.precision, self.moment, *([] if self.inverse is None else [self.inverse])]
        head = _HEAD.pack(_MAGIC, len(self.moment), self.inverse is not None, self.count, self.as_of)
        return head + b"".join(array.astype("<f8").tobytes() for array in arrays)

    @classmethod
    def from_bytes(cls, state: bytes) -> Self:
        """Return the posterior that `to_bytes` described; ValueError for anything else."""
        if len(state) < _HEAD.size or state[:4] != _MAGIC:
            raise ValueError("not the state of a linear arm")
        _, dimension, has_inverse, count, as_of = _HEAD.unpack_from(state)
        square = dimension * dimension
        if len(state) != _HEAD.size + 8 * (square * (2 if has_inverse else 1) + dimension):
            raise ValueError("the state of a linear arm was cut off")
        numbers = np.frombuffer(state, dtype="<f8", offset=_HEAD.size).astype(np.float64)
        precision, moment = numbers[:square].reshape(dimension, dimension), numbers[square : square + dimension]
        inverse = numbers[square + dimension :].reshape(dimension, dimension) if has_inverse else None
        return cls(precision, moment, inverse, count, as_of)


def _read_only(array: Array) -> Array:
    """Return a view that cannot be written through: a copy at every update would cost more than the update."""
    view = array.view()
    view.flags.writeable = False
    return view


def _check(prior: LinearPrior, x: Array, reward: float) -> None:
    if x.shape != (prior.dimension,):
        raise ValueError(f"x must have the shape ({prior.dimension},), got {x.shape}")
    # A NaN compares false with everything, so it is refused too.
    if not np.all(np.abs(x) <= GREATEST):
        raise ValueError(f"x must consist of finite numbers within ±{GREATEST:g}")
    if not math.isfinite(reward):
        raise ValueError(f"reward must be a finite number, got {reward!r}")


def _product(matrix: Array, vector: Array) -> Array:
    product: Array = (matrix * vector).sum(axis=1)
    return product


def _updated_inverse(precision: Array, inverse: Array, x: Array) -> Array:
    """Return the inverse of A + x xᵀ, `precision`, from that of A (Sherman and Morrison 1950)."""
    along = _product(inverse, x)
    updated: Array = inverse - np.outer(along, along) / (1.0 + (x * along).sum())
    drift = np.abs(_product(precision, _product(updated, x)) - x).max()
    return updated if drift <= DRIFT * np.abs(x).max() else _inverse(precision)


def _inverse(precision: Array) -> Array:
    """Return the inverse of a symmetric positive definite matrix, exactly symmetric; ValueError for another one.

    Every column is scaled to a diagonal of 1 first. Numbers can be so large, or columns so alike, that rounding swamps
    the prior and the pivots have no digit left: the diagonal is raised until they have about three.
    """
    diagonal = np.diag(precision)
    if not np.all(diagonal > 0.0):
        raise ValueError("the precision is not positive definite")
    unit = 1.0 / np.sqrt(diagonal)
    scale = np.outer(unit, unit)
    scaled, rounding = precision * scale, len(unit) ** 2 * np.finfo(np.float64).eps
    inverse = _swept(scaled, rounding)
    if inverse is None:
        inverse = _swept(scaled + 1_000.0 * rounding * np.eye(len(unit)), rounding)
    if inverse is None:
        raise ValueError("the precision is not positive definite")
    return inverse * scale


def _swept(matrix: Array, least: float) -> Array | None:
    """Return the inverse by sweeping every column (Goodnight 1979, "A tutorial on the SWEEP operator").

    The pivots are the squares of a Cholesky factor's diagonal: None as soon as one is not above `least`.
    """
    swept = matrix.copy()
    for column in range(len(swept)):
        pivot = swept[column, column]
        if not pivot > least:
            return None
        root = np.sqrt(pivot)
        scaled = swept[:, column] / root
        swept -= np.outer(scaled, scaled)
        swept[:, column] = swept[column] = scaled / root
        swept[column, column] = -1.0 / pivot
    return -swept
