"""From a context to the vector that linear models learn from and score."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

GREATEST: Final = 1e6
"""The largest magnitude of a number: far from where its square, summed up, would lose the others' digits."""

MOST_FEATURES: Final = 128
"""How many numbers a vector may have, the intercept included."""

_PLAIN: Final = frozenset((float, bool))


class FeatureMap:
    """Reads contexts that consist of declared features: their names in order, or only how many there are.

    An intercept, the constant 1, stands behind them unless `intercept` is false. `given` is how many numbers a context
    brings, `dimension` how many a vector has. ValueError for no or repeated names, or more than MOST_FEATURES.
    """

    def __init__(self, features: Sequence[str] | int, *, intercept: bool = True) -> None:
        self.names = None if isinstance(features, int) else tuple(features)
        self.given = features if isinstance(features, int) else len(features)
        self.intercept = intercept
        self.dimension = self.given + intercept
        self._declared = frozenset(self.names or ())
        if self.names is not None and len(self._declared) < len(self.names):
            raise ValueError("names of features must differ")
        if self.given < 1 or self.dimension > MOST_FEATURES:
            raise ValueError(f"a vector must have 1 to {MOST_FEATURES} numbers, the intercept included")

    def vector(self, context: Mapping[str, object] | Sequence[object]) -> NDArray[np.float64]:
        """Return the vector of a context (dimension,); ValueError as `numbers` has it."""
        return self.of(self.numbers(context))

    def of(self, numbers: Sequence[float] | Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Return the vector (dimension,) of what `numbers` returned, or the vectors (N, dimension) of N contexts."""
        given = np.array(numbers, dtype=np.float64)
        if not self.intercept:
            return given
        vectors = np.ones((*given.shape[:-1], self.dimension))
        vectors[..., :-1] = given
        return vectors

    def numbers(self, context: Mapping[str, object] | Sequence[object]) -> list[float]:
        """Return the numbers of a context in the declared order, whether they came by name or in that order.

        Minus zero becomes zero: two spellings of one number must not make two models. ValueError, naming the field
        ("context.age", "context[2]"), for what is missing, unknown or too much, no finite number, or beyond ±GREATEST.
        """
        values: Sequence[object]
        places: Sequence[object]
        if isinstance(context, Mapping):
            values, field, places = self._by_name(context), "context.{}", self.names or ()
        else:
            values, field, places = self._in_order(context), "context[{}]", range(self.given)
        if _PLAIN.issuperset(map(type, values)):
            numbers: list[float] = [value + 0.0 for value in values]  # type: ignore[operator]
            # A sum is finite only if all its terms are; least and greatest say nothing where one is NaN.
            if math.isfinite(sum(numbers)) and min(numbers) >= -GREATEST and max(numbers) <= GREATEST:
                return numbers
        return [_number(field.format(place), value) + 0.0 for place, value in zip(places, values, strict=True)]

    def _by_name(self, context: Mapping[str, object]) -> list[object]:
        if self.names is None:
            raise ValueError(f"context must be a list of {self.given} numbers: its features have no names")
        if context.keys() != self._declared:
            if unknown := sorted(context.keys() - self._declared):
                raise ValueError(f"context.{unknown[0]} is not a feature; declared are {', '.join(self.names)}")
            missing = next(name for name in self.names if name not in context)
            raise ValueError(f"context.{missing} is missing")
        return [context[name] for name in self.names]

    def _in_order(self, context: Sequence[object]) -> Sequence[object]:
        if len(context) != self.given:
            raise ValueError(f"context must have {self.given} numbers, got {len(context)}")
        return context


def _number(field: str, value: object) -> float:
    number = _real(value)
    if not -math.inf < number < math.inf:
        raise ValueError(f"{field} must be a finite number, got {value!r}")
    if abs(number) > GREATEST:
        raise ValueError(f"{field} must lie between -{GREATEST:g} and {GREATEST:g}, got {value!r}: scale it")
    return float(number)


def _real(value: object) -> float:
    """Return a number, 0 or 1 for a boolean, and NaN for anything else."""
    if isinstance(value, int | float):
        # As it is: an int may be too large to become a float.
        return value
    return float(value) if isinstance(value, np.integer | np.floating | np.bool_) else math.nan
