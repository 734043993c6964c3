"""Data of a request that has no declared shape: what of it can be stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_GREATEST_NUMBER: Final = 1e15
_DEEPEST, _MOST_ENTRIES, _LONGEST_NAME = 4, 1_000, 200
_TEXT = re.compile(r"[^\x00\ud800-\udfff]*")


def check_plain(value: object, *, deepest: int = _DEEPEST, longest: int = _LONGEST_NAME) -> None:
    """Raise ValueError unless the value is plain data that can be stored: short, shallow, finite, without NUL.

    `deepest` is how many levels it may have, `longest` how many characters a text.
    """
    match value:
        case str():
            _check_text(value, longest)
        case Mapping() | list() if deepest == 0 or len(value) > _MOST_ENTRIES:
            raise ValueError(f"it has too many levels, or more than {_MOST_ENTRIES} entries at one of them")
        case Mapping():
            for key, entry in value.items():
                _check_text(key, longest)
                check_plain(entry, deepest=deepest - 1, longest=longest)
        case list():
            for entry in value:
                check_plain(entry, deepest=deepest - 1, longest=longest)
        case int() | float():
            _check_finite(value)


def _check_text(text: str, longest: int) -> None:
    if len(text) > longest or not _TEXT.fullmatch(text):
        raise ValueError(f"text in it must be at most {longest} characters, none of them NUL")


def _check_finite(number: float) -> None:
    # Compared as it is: NaN fails the comparison, and an int may be too large to become a float.
    if not abs(number) <= _GREATEST_NUMBER:
        raise ValueError(f"numbers in it must lie between -{_GREATEST_NUMBER:g} and {_GREATEST_NUMBER:g}")
