"""The commands that the service uses, as Redis executes them: one at a time, each as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from bandit_service.mirror.scripts import script

from .values import Argument, Data, Fields, StreamValue, check_one_slot, entry_id, place_of, raw, raw_mapping

_WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class Commands:
    """Executes commands on a server's data. `clock` is the server's own time in seconds."""

    def __init__(self, clock: Callable[[], float], publish: Callable[[bytes, bytes], int]) -> None:
        self.data = Data()
        self.scripts: set[str] = set()
        self._clock = clock
        self._publish = publish

    def execute(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute a command by the name of the client library's method."""
        command: Callable[..., Any] = getattr(self, name)
        return command(*arguments, **options)

    # -- strings

    def set(
        self, key: Argument, value: Argument, *, nx: bool = False, px: int | None = None, ex: int | None = None
    ) -> bool | None:
        name = raw(key)
        self._expire(name)
        if nx and name in self.data.values:
            return None
        self.data.drop(name)
        self.data.values[name] = raw(value)
        if px is not None or ex is not None:
            self.data.expires[name] = self._clock() + ((px or 0) / 1_000) + (ex or 0)
        return True

    def get(self, key: Argument) -> bytes | None:
        value = self._found(raw(key))
        if value is not None and not isinstance(value, bytes):
            raise ResponseError(_WRONG_TYPE)
        return value

    def mget(self, *keys: Any) -> list[bytes | None]:
        names = [raw(key) for each in keys for key in (each if isinstance(each, list | tuple) else [each])]
        check_one_slot(names)
        return [found if isinstance(found := self._found(name), bytes) else None for name in names]

    def delete(self, *keys: Argument) -> int:
        names = [raw(key) for key in keys]
        check_one_slot(names)
        for name in names:
            self._expire(name)
        return sum(self.data.drop(name) for name in names)

    def exists(self, *keys: Argument) -> int:
        names = [raw(key) for key in keys]
        check_one_slot(names)
        return sum(self._found(name) is not None for name in names)

    def renamenx(self, key: Argument, new: Argument) -> bool:
        old_name, new_name = raw(key), raw(new)
        check_one_slot([old_name, new_name])
        value = self._found(old_name)
        if value is None:
            raise ResponseError("no such key")
        if self._found(new_name) is not None:
            return False
        self.data.values[new_name] = self.data.values.pop(old_name)
        if old_name in self.data.expires:
            self.data.expires[new_name] = self.data.expires.pop(old_name)
        return True

    def expire(self, key: Argument, seconds: int) -> bool:
        name = raw(key)
        if self._found(name) is None:
            return False
        self.data.expires[name] = self._clock() + seconds
        return True

    def incr(self, key: Argument) -> int:
        try:
            count = int(self.get(key) or 0) + 1
        except ValueError:
            raise ResponseError("value is not an integer or out of range") from None
        self.data.values[raw(key)] = str(count).encode()
        return count

    # -- sets and hashes

    def sadd(self, key: Argument, *members: Argument) -> int:
        found = self._dictionary(key)
        before = len(found)
        found.update((raw(member), b"") for member in members)
        return len(found) - before

    def srem(self, key: Argument, *members: Argument) -> int:
        return self._removed(key, members)

    def smembers(self, key: Argument) -> list[bytes]:
        return list(self._dictionary(key, create=False))

    def hset(self, key: Argument, *pair: Argument, mapping: Mapping[Argument, Argument] | None = None) -> int:
        found = self._dictionary(key)
        before = len(found)
        fields = raw_mapping(mapping or {}) + (((raw(pair[0]), raw(pair[1])),) if pair else ())
        found.update(fields)
        return len(found) - before

    def hget(self, key: Argument, name: Argument) -> bytes | None:
        return self._dictionary(key, create=False).get(raw(name))

    def hdel(self, key: Argument, *names: Argument) -> int:
        return self._removed(key, names)

    def hgetall(self, key: Argument) -> dict[bytes, bytes]:
        return dict(self._dictionary(key, create=False))

    # -- streams

    def xadd(
        self,
        key: Argument,
        fields: Mapping[Argument, Argument],
        *,
        nomkstream: bool = False,
        maxlen: int | None = None,
        approximate: bool = True,
    ) -> bytes | None:
        del approximate  # the exact length is one of those that an approximate one allows
        stream = self._stream(key)
        if stream is None:
            if nomkstream:
                return None
            stream = self.data.values[raw(key)] = StreamValue()
        now = int(self._clock() * 1_000)
        stream.last = (now, 0) if now > stream.last[0] else (stream.last[0], stream.last[1] + 1)
        stream.entries.append((stream.last, raw_mapping(fields)))
        if maxlen is not None:
            del stream.entries[: max(0, len(stream.entries) - maxlen)]
        return entry_id(stream.last)

    def xtrim(self, key: Argument, *, minid: str, approximate: bool = True) -> int:
        del approximate
        stream = self._stream(key)
        if stream is None:
            return 0
        first, before = place_of(minid.encode()), len(stream.entries)
        stream.entries = [entry for entry in stream.entries if entry[0] >= first]
        return before - len(stream.entries)

    def xrange(
        self,
        key: Argument,
        *,
        min: str = "-",  # noqa: A002 (the library's own name)
        count: int | None = None,
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        stream = self._stream(key)
        if stream is None:
            return []
        found: list[tuple[tuple[int, int], Fields]]
        if min == "-":
            found = stream.entries
        elif min.startswith("("):
            start = place_of(min[1:].encode())
            found = [entry for entry in stream.entries if entry[0] > start]
        else:
            start = place_of(min.encode())
            found = [entry for entry in stream.entries if entry[0] >= start]
        return [(entry_id(place), dict(fields)) for place, fields in found[:count]]

    # -- messages and scripts

    def publish(self, channel: Argument, message: Argument) -> int:
        return self._publish(raw(channel), raw(message))

    def ping(self) -> bool:
        return True

    def script_load(self, source: bytes) -> str:
        write = script("write")
        if source != write.source:
            raise ResponseError("the simulation knows only the script write.lua")
        self.scripts.add(write.sha)
        return write.sha

    def execute_command(self, name: str, *arguments: Argument) -> Any:
        """Execute what the service sends as such: EVALSHA, a model of write.lua."""
        if name == "CLUSTER INFO":
            raise ResponseError("ERR This instance has cluster support disabled")
        sha, count, *rest = arguments
        if name != "EVALSHA" or sha != script("write").sha:
            raise ResponseError(f"the simulation knows no command {name}")
        if sha not in self.scripts:
            raise NoScriptError("No matching script. Please use EVAL.")
        keys, values = [raw(key) for key in rest[: int(count)]], [raw(value) for value in rest[int(count) :]]
        check_one_slot(keys)
        field, token, number, *contents = values
        known = self.hget(keys[0], field)
        if known is not None:
            known_token, known_number = known.split()
            newer_token, newer_number = int(token) - int(known_token), int(number) - int(known_number)
            if newer_token < 0 or (newer_token == 0 and newer_number < 0):
                return 0
        self.hset(keys[0], field, token + b" " + number)
        for key, content in zip(keys[1:], contents, strict=True):
            self.set(key, content)
        return 1

    # -- how values are found

    def _expire(self, name: bytes) -> None:
        at = self.data.expires.get(name)
        if at is not None and self._clock() >= at:
            self.data.drop(name)

    def _found(self, name: bytes) -> bytes | dict[bytes, bytes] | StreamValue | None:
        self._expire(name)
        return self.data.values.get(name)

    def _dictionary(self, key: Argument, *, create: bool = True) -> dict[bytes, bytes]:
        name = raw(key)
        value = self._found(name)
        if value is None:
            value = {}
            if create:
                self.data.values[name] = value
        if not isinstance(value, dict):
            raise ResponseError(_WRONG_TYPE)
        return value

    def _stream(self, key: Argument) -> StreamValue | None:
        value = self._found(raw(key))
        if value is not None and not isinstance(value, StreamValue):
            raise ResponseError(_WRONG_TYPE)
        return value

    def _removed(self, key: Argument, members: tuple[Argument, ...]) -> int:
        found = self._dictionary(key, create=False)
        count = sum(found.pop(raw(member), None) is not None for member in members)
        if not found:
            self.data.drop(raw(key))
        return count
