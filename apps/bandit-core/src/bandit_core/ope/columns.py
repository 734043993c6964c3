"""Columns of a frame, of polars or pandas, as arrays: numbers, texts, and where a value is missing."""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float64]
type Mask = NDArray[np.bool_]

_NUMERIC: Final = "biuf"


class FrameColumns:
    """A frame of polars (also lazy) or pandas, read by the names of its columns. Neither library is imported.

    A value is missing where it is null, None, NA or NaN. ValueError for what is no frame, and for a column that the
    frame does not have or has twice.
    """

    def __init__(self, frame: Any) -> None:  # noqa: ANN401 - polars or pandas
        self._frame = frame.collect() if hasattr(frame, "collect") else frame
        if not hasattr(self._frame, "columns") or not hasattr(self._frame, "__len__"):
            raise ValueError(f"a frame of polars or pandas is needed, got {type(frame).__name__}")
        self.names = [str(name) for name in self._frame.columns]

    def __len__(self) -> int:
        return len(self._frame)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def missing(self, name: str) -> Mask:
        """Return where the values of a column are missing (n,)."""
        series = self._series(name)
        if hasattr(series, "isna"):
            return np.asarray(series.isna().to_numpy(), dtype=np.bool_)
        null: Mask = series.is_null().to_numpy()
        return null | series.is_nan().fill_null(value=False).to_numpy() if series.dtype.is_float() else null

    def numbers(self, name: str) -> Floats:
        """Return a column as numbers (n,), NaN where they are missing; ValueError names the first row without one.

        A number may be written as a text, and true and false are 1 and 0.
        """
        values, missing = np.asarray(self._series(name).to_numpy()), self.missing(name)
        if values.dtype.kind in _NUMERIC:
            return np.where(missing, np.nan, values.astype(np.float64))
        return np.array([np.nan if gone else _number(name, row, values[row]) for row, gone in enumerate(missing)])

    def is_numeric(self, name: str) -> bool:
        """Say whether a column's values are stored as numbers or as true and false."""
        return np.asarray(self._series(name).to_numpy()).dtype.kind in _NUMERIC

    def whole(self, name: str) -> NDArray[np.int64]:
        """Return a column of whole numbers (n,), which may be written 1.0; ValueError names the first other row."""
        numbers = self.numbers(name)
        bad = ~(np.isfinite(numbers) & (numbers == np.floor(numbers)))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{name} must be whole numbers, got {numbers[row]} in row {row}")
        return numbers.astype(np.int64)

    def texts(self, name: str) -> NDArray[np.str_]:
        """Return a column as texts (n,), "" where they are missing. The whole number 1.0 is the text 1.

        pandas turns whole numbers into floats as soon as one is missing.
        """
        values, missing = np.asarray(self._series(name).to_numpy()), self.missing(name)
        return np.array(["" if gone else _text(name, row, values[row]) for row, gone in enumerate(missing)], np.str_)

    def _series(self, name: str) -> Any:  # noqa: ANN401
        if (count := self.names.count(name)) != 1:
            has = f"{count} columns" if count else "no column"
            raise ValueError(f"the frame has {has} {name!r}; it has {', '.join(self.names)}")
        return self._frame[self._frame.columns[self.names.index(name)]]


def as_numbers(name: str, values: ArrayLike) -> Floats:
    """Return an array of numbers; ValueError, naming the parameter, for what holds something else."""
    try:
        return np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None


def _number(name: str, row: int, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, got {str(value)!r} in row {row}") from None


def _text(name: str, row: int, value: object) -> str:
    if isinstance(value, list | tuple | dict | np.ndarray):
        raise ValueError(f"{name} must be one value in each row, got {value!r} in row {row}")  # noqa: TRY004
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)
