"""Parameters as the product packs them, and back."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from psycopg import errors

from bandit_service.ledger import arrays

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Postgres counts time from 2000-01-01.
_EPOCH_US: Final = 946_684_800_000_000
_HEAD: Final = struct.Struct(">iiIii")


def unpacked(value: Any) -> Sequence[Any]:
    """Return the elements of an array: times as microseconds since the epoch, bytea as bytes.

    Raises:
        errors.CharacterNotInRepertoire: a text holds a NUL.
    """
    if not isinstance(value, arrays.Packed):
        return value  # type: ignore[no-any-return]
    data = value.data
    _, has_null, oid, count, _ = _HEAD.unpack_from(data)
    code = _FIXED.get(oid)
    if code is not None:
        if not has_null:
            found = _all_of(code, count).unpack_from(data, _HEAD.size)[1::2]
            return [each + _EPOCH_US for each in found] if oid == _TIME else found
        return _fixed(data, struct.Struct(f">{code}"), oid == _TIME, count)
    return _texts(data, count) if oid == _TEXT else _binary(data, count)


_TEXT: Final = arrays.TEXT.oid
_TIME: Final = arrays.MILLISECONDS.oid
_FIXED: Final[dict[int, str]] = {
    arrays.SMALLINT.oid: "h",
    arrays.INT.oid: "i",
    arrays.BIGINT.oid: "q",
    arrays.FLOAT.oid: "d",
    arrays.BOOL.oid: "?",
    _TIME: "q",
}


@cache
def _all_of(code: str, count: int) -> struct.Struct:
    return struct.Struct(">" + f"i{code}" * count)


def _fixed(data: bytes, element: struct.Struct, is_time: bool, count: int) -> list[Any]:  # noqa: FBT001
    found: list[Any] = []
    place, shift = _HEAD.size, _EPOCH_US if is_time else 0
    for _ in range(count):
        size = int.from_bytes(data[place : place + 4], signed=True)
        place += 4
        if size < 0:
            found.append(None)
            continue
        [value] = element.unpack_from(data, place)
        found.append(value + shift if is_time else value)
        place += size
    return found


def _binary(data: bytes, count: int) -> list[bytes | None]:
    found: list[bytes | None] = []
    place = _HEAD.size
    for _ in range(count):
        size = int.from_bytes(data[place : place + 4], signed=True)
        place += 4
        if size < 0:
            found.append(None)
            continue
        found.append(data[place : place + size])
        place += size
    return found


def _texts(data: bytes, count: int) -> list[str | None]:
    found = [None if each is None else each.decode() for each in _binary(data, count)]
    if b"\0" in data and any(each is not None and "\0" in each for each in found):
        raise errors.CharacterNotInRepertoire('invalid byte sequence for encoding "UTF8": 0x00')
    return found


def columns(parameters: Any, *names: str) -> list[tuple[Any, ...]]:
    """Return the rows of unnest(): one array a column."""
    return list(zip(*(unpacked(parameters[name]) for name in names), strict=True))


def ms(us: int) -> int:
    """Return (extract(epoch FROM ...) * 1000)::bigint of microseconds, which rounds half away from zero."""
    return (us + 500) // 1_000 if us >= 0 else -((-us + 500) // 1_000)


def seconds_us(seconds: float) -> float:
    """Return to_timestamp() in microseconds, which may be infinite."""
    return seconds if math.isinf(seconds) else round(seconds * 1_000_000)


def as_datetime(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def as_us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
