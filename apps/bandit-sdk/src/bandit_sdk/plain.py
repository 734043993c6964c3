"""Values as JSON has them: what means a text or a number is written as such, and the rest is refused by its field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from bandit_sdk.errors import InvalidError

type Id = str | int | UUID | date


def plain(value: object) -> object:
    """Return a UUID or a date as text, a Decimal and what numpy has as Python's own; anything else as it is."""
    match value:
        case UUID():
            return str(value)
        case date() | time():
            return value.isoformat()
        case Decimal():
            return float(value)
    # Asked without importing numpy, which a client may not have.
    is_numpy = type(value).__module__ == "numpy" and hasattr(value, "tolist")
    return value.tolist() if is_numpy else value  # type: ignore[attr-defined]


def as_text(given: object) -> object:
    """Return an id as text if it is a whole number, a UUID or a date; anything else as it is."""
    value = plain(given)
    return str(value) if type(value) is int else value


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a request's body.

    Raises:
        InvalidError: a field holds what JSON does not.
    """
    try:
        return json.dumps(body, allow_nan=False, default=_default, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidError(_wrong("", body, 0) or "the request cannot be written as JSON") from None


def _default(value: object) -> object:
    written = plain(value)
    if written is value:
        raise TypeError
    return written


def _wrong(field: str, given: object, depth: int) -> str | None:
    """Return what is wrong with the first wrong value in a field."""
    value = plain(given)
    match value:
        case _ if depth > 20:
            return f"{field[:200]} is nested too deeply"
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                return f"{field or 'the request'} must have text as its keys"
            inner = ((f"{field}.{key}" if field else str(key), each) for key, each in value.items())
        case list() | tuple():
            inner = ((f"{field}[{number}]", each) for number, each in enumerate(value))
        case float() if not math.isfinite(value):
            return f"{field} must be a finite number, not {value}"
        case None | str() | int() | float():
            return None
        case _:
            return f"{field} cannot be a {type(value).__name__}: JSON has text, numbers, booleans, lists and objects"
    return next((found for name, each in inner if (found := _wrong(name, each, depth + 1))), None)
