"""Arrays as parameters in Postgres's binary format, packed a column at a time.

psycopg dumps a list element by element, which costs several times what Postgres spends on the row.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL: Final = b"\xff\xff\xff\xff"
# Postgres counts time from 2000-01-01, in microseconds.
_EPOCH_MS: Final = 946_684_800_000


@dataclass(frozen=True, slots=True)
class Packed:
    """An array that is ready to be sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ElementType:
    """How elements of a type are packed, with the oids of the type and of its array."""

    oid: int
    array_oid: int
    pack: Callable[[Any], bytes]


def _fixed(code: str) -> Callable[[Any], bytes]:
    packer = struct.Struct(f">i{code}")
    size = packer.size - 4
    return lambda value: packer.pack(size, value)


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(4) + data


def _hex(value: str) -> bytes:
    data = bytes.fromhex(value)
    return len(data).to_bytes(4) + data


_long = _fixed("q")
TEXT: Final = ElementType(25, 1009, _text)
HEX_BYTEA: Final = ElementType(17, 1001, _hex)
SMALLINT: Final = ElementType(21, 1005, _fixed("h"))
INT: Final = ElementType(23, 1007, _fixed("i"))
BIGINT: Final = ElementType(20, 1016, _long)
FLOAT: Final = ElementType(701, 1022, _fixed("d"))
BOOL: Final = ElementType(16, 1000, _fixed("?"))
MILLISECONDS: Final = ElementType(1184, 1185, lambda value: _long((value - _EPOCH_MS) * 1_000))
_TYPES: Final = (TEXT, HEX_BYTEA, SMALLINT, INT, BIGINT, FLOAT, BOOL, MILLISECONDS)

_classes: Final[dict[int, type[Packed]]] = {
    kind.oid: type(f"Packed{kind.oid}", (Packed,), {"__slots__": ()}) for kind in _TYPES
}


def packed(kind: ElementType, values: Sequence[Any]) -> Packed:
    """Return a one-dimensional array of these values; None is NULL.

    Raises:
        struct.error, ValueError: a value is outside the range of its type.
    """
    pack = kind.pack
    has_null = None in values
    body = b"".join([_NULL if value is None else pack(value) for value in values])
    head = struct.pack(">iiIii", 1, has_null, kind.oid, len(values), 1)
    return _classes[kind.oid](head + body)


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Packed) -> bytes:
        return obj.data


def register(connection: AsyncConnection[Any]) -> None:
    """Let a connection take packed arrays as parameters."""
    for kind in _TYPES:
        dumper = type("PackedDumper", (_PackedDumper,), {"oid": kind.array_oid})
        connection.adapters.register_dumper(_classes[kind.oid], dumper)
