"""What the simulated Redis holds under its keys, and how a command finds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

type Argument = bytes | str | int | float
type Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class StreamValue:
    """Entries in order, each with its id as two numbers."""

    entries: list[tuple[tuple[int, int], Fields]] = field(default_factory=list)
    last: tuple[int, int] = (0, 0)

    def copy(self) -> StreamValue:
        return StreamValue(self.entries.copy(), self.last)


# A set is a dictionary, so that its order does not depend on the hash of its members.
type Value = bytes | dict[bytes, bytes] | StreamValue


@dataclass(slots=True)
class Data:
    """Everything a server would have on its disk."""

    values: dict[bytes, Value] = field(default_factory=dict)
    expires: dict[bytes, float] = field(default_factory=dict)

    def copy(self) -> Data:
        return Data({key: _copied(value) for key, value in self.values.items()}, self.expires.copy())

    def drop(self, key: bytes) -> bool:
        self.expires.pop(key, None)
        return self.values.pop(key, None) is not None


def raw(argument: Argument) -> bytes:
    """Return an argument as the client library sends it."""
    if isinstance(argument, bytes):
        return argument
    return argument.encode() if isinstance(argument, str) else repr(argument).encode()


def raw_mapping(mapping: Mapping[Argument, Argument]) -> Fields:
    return tuple((raw(name), raw(value)) for name, value in mapping.items())


def entry_id(place: tuple[int, int]) -> bytes:
    return b"%d-%d" % place


def place_of(entry: bytes) -> tuple[int, int]:
    time, _, number = entry.partition(b"-")
    return int(time), int(number or 0)


def slot_of(key: bytes) -> bytes:
    """Return the part of a key that decides in which slot of a cluster it lies. Two parts are taken for two slots."""
    _, opened, rest = key.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return tag if opened and closed and tag else key


def check_one_slot(keys: Iterable[bytes]) -> None:
    """Refuse a command as a cluster does.

    Raises:
        ResponseError: its keys lie in two slots.
    """
    found = list(keys)
    if any(slot_of(key) != slot_of(found[0]) for key in found[1:]):
        raise ResponseError("CROSSSLOT Keys in request don't hash to the same slot")


def _copied(value: Value) -> Value:
    return value if isinstance(value, bytes) else value.copy()
