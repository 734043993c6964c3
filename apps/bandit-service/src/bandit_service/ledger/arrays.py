"""Arrays as parameters in Postgres's binary format, packed a column at a time.

psycopg dumps a list element by element, which costs several times what Postgres spends on the row.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL: Final = b"\xff\xff\xff\xff"
# Postgres counts time from 2000-01-01, in microseconds.
_EPOCH_MS: Final = 946_684_800_000
_HEAD: Final = struct.Struct(">iiIii")
# Compiled formats of each type that are kept, one for a length of an array.
_FORMATS: Final = 32


@dataclass(frozen=True, slots=True)
class Packed:
    """An array that is ready to be sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ElementType:
    """How values of a type are packed, none of them None, with the oids of the type and of its array."""

    oid: int
    array_oid: int
    pack: Callable[[Sequence[Any]], bytes]


def _fixed(code: str) -> Callable[[Sequence[Any]], bytes]:
    size = struct.calcsize(f">{code}")

    @lru_cache(maxsize=_FORMATS)
    def packer(count: int) -> struct.Struct:
        return struct.Struct(">" + f"i{code}" * count)

    def pack(values: Sequence[Any]) -> bytes:
        interleaved = [size] * (2 * len(values))
        interleaved[1::2] = values
        return packer(len(values)).pack(*interleaved)

    return pack


def _variable(encode: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], bytes]:
    return lambda values: b"".join([len(data).to_bytes(4) + data for data in map(encode, values)])


_pack_longs = _fixed("q")
TEXT: Final = ElementType(25, 1009, _variable(str.encode))
HEX_BYTEA: Final = ElementType(17, 1001, _variable(bytes.fromhex))
SMALLINT: Final = ElementType(21, 1005, _fixed("h"))
INT: Final = ElementType(23, 1007, _fixed("i"))
BIGINT: Final = ElementType(20, 1016, _pack_longs)
FLOAT: Final = ElementType(701, 1022, _fixed("d"))
BOOL: Final = ElementType(16, 1000, _fixed("?"))
MILLISECONDS: Final = ElementType(
    1184, 1185, lambda values: _pack_longs([(value - _EPOCH_MS) * 1_000 for value in values])
)
_TYPES: Final = (TEXT, HEX_BYTEA, SMALLINT, INT, BIGINT, FLOAT, BOOL, MILLISECONDS)

_classes: Final[dict[int, type[Packed]]] = {
    kind.oid: type(f"Packed{kind.oid}", (Packed,), {"__slots__": ()}) for kind in _TYPES
}


def packed(kind: ElementType, values: Sequence[Any]) -> Packed:
    """Return a one-dimensional array of these values; None is NULL.

    Raises:
        struct.error, ValueError: a value is outside the range of its type.
    """
    has_null = None in values
    head = _HEAD.pack(1, has_null, kind.oid, len(values), 1)
    return _classes[kind.oid](head + _body(kind, values, has_null=has_null))


def _body(kind: ElementType, values: Sequence[Any], *, has_null: bool) -> bytes:
    # Of most columns a batch has one value, or none, again and again.
    if values and values.count(values[0]) == len(values):
        return (_NULL if has_null else kind.pack(values[:1])) * len(values)
    if has_null:
        return b"".join([_NULL if value is None else kind.pack((value,)) for value in values])
    return kind.pack(values)


class Columns:
    """Columns of a table, packed from objects that have them as attributes.

    Args:
        columns: The name of each as a parameter, its type, and the attribute.
    """

    def __init__(self, columns: Sequence[tuple[str, ElementType, str]]) -> None:
        self._columns = [(name, kind) for name, kind, _ in columns]
        self._values = attrgetter(*[attribute for _, _, attribute in columns])

    def packed(self, objects: Sequence[object]) -> dict[str, Packed]:
        """Return each column of one object or more."""
        values = zip(*map(self._values, objects), strict=True)
        return {name: packed(kind, column) for (name, kind), column in zip(self._columns, values, strict=True)}


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Packed) -> bytes:
        return obj.data


def register(connection: AsyncConnection[Any]) -> None:
    """Let a connection take packed arrays as parameters."""
    for kind in _TYPES:
        dumper = type("PackedDumper", (_PackedDumper,), {"oid": kind.array_oid})
        connection.adapters.register_dumper(_classes[kind.oid], dumper)
