"""JSON as jsonb holds it. Columns keep the text that they were given; what is read is written as Postgres does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, Never

from psycopg import errors


def _refuse(constant: str) -> Never:
    raise ValueError(constant)


_decode = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse).decode


@lru_cache(maxsize=4096)
def checked_json(text: str) -> str:
    """Return a text that can be cast to json, which keeps it as it is.

    Raises:
        errors.InvalidTextRepresentation: it cannot.
    """
    try:
        _decode(text)
    except (ValueError, RecursionError):
        raise errors.InvalidTextRepresentation("invalid input syntax for type json") from None
    return text


@lru_cache(maxsize=4096)
def checked(text: str) -> str:
    """Return a text that can be cast to jsonb.

    Raises:
        errors.InvalidTextRepresentation, errors.UntranslatableCharacter: it cannot.
    """
    checked_json(text)
    if "\\u" in text:
        for string in _strings(_decode(text)):
            _check(string)
    return text


def parsed(text: str) -> Any:
    """Return the value, with every number exactly as it was written."""
    return _decode(text)


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """Return jsonb::text."""
    return written(_decode(text))


def written(value: Any) -> str:
    """Write a value as Postgres does: keys by their length and then their bytes, a space behind colons and commas."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode()))
        return "{" + ", ".join([f"{_string(key)}: {written(each)}" for key, each in pairs]) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([written(each) for each in value]) + "]"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Decimal):
        return format(abs(value) if value == 0 else value, "f")
    return json.dumps(value)


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _strings(each)


def _check(string: str) -> None:
    try:
        string.encode()
    except UnicodeEncodeError:
        raise errors.InvalidTextRepresentation("invalid input syntax for type json") from None
    if "\0" in string:
        raise errors.UntranslatableCharacter("unsupported Unicode escape sequence")
