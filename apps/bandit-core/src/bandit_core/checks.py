"""Checks of the numbers people configure: each error names the parameter, its range and what was given."""

import math
from typing import TypeGuard


def check_number(name: str, value: object, *, low: float, high: float = math.inf, exclusive: bool = False) -> None:
    """Raise ValueError unless `value` is a finite number in [low, high]; with `exclusive`, `low` itself is refused."""
    if not _is_finite(value) or not low <= value <= high or (exclusive and value == low):
        raise ValueError(f"{name} must be {_range(low, high, exclusive=exclusive)}, got {value!r}")


def check_whole(name: str, value: object, *, low: int) -> None:
    """Raise ValueError unless `value` is an int of at least `low`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}, got {value!r}")


def _is_finite(value: object) -> TypeGuard[float]:
    # Compared, and not converted: an int may be too large for a float. A NaN compares false with everything.
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _range(low: float, high: float, *, exclusive: bool) -> str:
    lower = f"a finite number {'above' if exclusive else 'of at least'} {low:g}"
    return lower if high == math.inf else f"{lower} and at most {high:g}"
