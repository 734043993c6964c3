"""A simulated Redis: what happens to it, and who is connected to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from .commands import Commands
from .values import Data, StreamValue, raw

_READING = frozenset({"get", "mget", "exists", "smembers", "hget", "hgetall", "xrange", "ping", "publish"})
# What needs no memory is also done at the memory limit.
_FREEING = _READING | {"delete", "srem", "hdel", "xtrim", "renamenx", "script_load"}

type Command = tuple[str, tuple[Any, ...], dict[str, Any]]
# An error is the answer to one command of a pipeline; the others are executed all the same.
type Replies = list[Any]


class Waiting(NamedTuple):
    """Commands that a frozen server has not read yet."""

    commands: Sequence[Command]
    replies: asyncio.Future[Replies]


class SimulatedRedis:
    """One server, or one cluster. `clock` is true time in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._true_clock = clock
        self.clock_offset = 0.0
        self._commands = Commands(lambda: clock() + self.clock_offset, self._publish)
        # Hears the keys of every script that has run.
        self.on_script: Callable[[list[bytes]], None] = lambda _: None
        # Hears every command and its answer.
        self.on_command: Callable[[Command, Any], None] = lambda _command, _reply: None
        self._frozen: deque[Waiting] = deque()
        self._listeners: dict[int, Callable[[bytes, bytes], None]] = {}
        self._numbers = 0
        self._saved = Data()
        self.is_up = True
        self.is_frozen = False
        self.is_full = False
        self.is_read_only = False
        # How often it has lost something: who was connected before that has lost the connection.
        self.life = 0
        self.losses = 0

    @property
    def data(self) -> Data:
        return self._commands.data

    # -- what happens to it

    def kill(self) -> None:
        """End: connections break, what is not read is lost, and data stays on the disk."""
        self.is_up, self.is_frozen, self.life = False, False, self.life + 1
        self._commands.scripts.clear()
        self._listeners.clear()
        self._drop_waiting()

    def start(self) -> None:
        self.is_up = True

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        """Go on, with what has arrived meanwhile."""
        self.is_frozen = False
        while self._frozen and self.is_up:
            commands, replies = self._frozen.popleft()
            found = self.execute(commands)
            if not replies.done():
                replies.set_result(found)

    def empty(self) -> None:
        """Lose everything."""
        self._commands.data = Data()
        self.losses += 1

    def save(self) -> None:
        """Note a state to go back to."""
        self._saved = self.data.copy()

    def roll_back(self) -> None:
        """Go back to the state that was saved."""
        self._commands.data = self._saved.copy()
        self.losses += 1

    def fail_over(self) -> None:
        """Go on with a copy that lags: it has what was saved, knows no script, and everybody connects anew."""
        self.kill()
        self.roll_back()
        self.start()

    # -- for those who look at it

    def contents(self, prefix: str) -> dict[str, bytes | dict[bytes, bytes]]:
        """Return strings and hashes by key."""
        return {
            key.decode(): value
            for key, value in self.data.values.items()
            if key.startswith(prefix.encode()) and not isinstance(value, StreamValue)
        }

    def members(self, key: str) -> list[str]:
        """Return the members of a set."""
        value = self.data.values.get(key.encode(), {})
        return sorted(member.decode() for member in value) if isinstance(value, dict) else []

    # -- what clients do

    def execute(self, commands: Sequence[Command]) -> Replies:
        """Execute commands one after another.

        Raises:
            ConnectionError: the server is not there.
        """
        if not self.is_up:
            raise RedisConnectionError("connection refused")
        return [self._reply(command) for command in commands]

    def wait(self, commands: Sequence[Command]) -> asyncio.Future[Replies]:
        """Have commands executed when the server goes on."""
        replies: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
        self._frozen.append(Waiting(commands, replies))
        return replies

    def listen(self, hear: Callable[[bytes, bytes], None]) -> int:
        """Have messages told; return the number to stop that with."""
        self._numbers += 1
        self._listeners[self._numbers] = hear
        return self._numbers

    def stop_listening(self, number: int) -> None:
        self._listeners.pop(number, None)

    def _reply(self, command: Command) -> Any:
        name, arguments, options = command
        if self.is_full and name not in _FREEING:
            return OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
        if self.is_read_only and name not in _READING:
            return ReadOnlyError("You can't write against a read only replica.")
        try:
            reply = self._commands.execute(name, arguments, options)
        except RedisError as error:
            return error
        if name == "execute_command" and arguments[0] == "EVALSHA":
            self.on_script([raw(key) for key in arguments[3 : 3 + int(arguments[2])]])
        self.on_command(command, reply)
        return reply

    def _publish(self, channel: bytes, message: bytes) -> int:
        for hear in list(self._listeners.values()):
            hear(channel, message)
        return len(self._listeners)

    def _drop_waiting(self) -> None:
        while self._frozen:
            _, replies = self._frozen.popleft()
            if not replies.done():
                replies.set_exception(RedisConnectionError("connection closed by server"))
                # Nobody may be waiting any more.
                replies.exception()
