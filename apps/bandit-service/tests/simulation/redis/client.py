"""What the service's parts take for a client of Redis. Its commands go to a simulated server over a simulated link."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, Self, cast

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..link import ConnectionLostError
from ..network import NetworkLink
from .server import Command, Replies, SimulatedRedis

_COMMANDS: Final = frozenset(
    {
        *("set", "get", "mget", "delete", "exists", "renamenx", "expire", "incr"),
        *("sadd", "srem", "smembers", "hset", "hget", "hdel", "hgetall"),
        *("xadd", "xtrim", "xrange", "publish", "ping", "script_load", "execute_command"),
    }
)


class SimulatedClient:
    """Sends each command by itself, or several as a pipeline. An answer is waited for so many seconds."""

    def __init__(self, server: SimulatedRedis, link: NetworkLink, *, timeout: float) -> None:
        self._server = server
        self._link = link
        self._timeout = timeout

    def as_redis(self) -> redis.asyncio.Redis:
        """Return itself as what the service's parts ask for."""
        return cast("redis.asyncio.Redis", self)

    def __getattr__(self, name: str) -> Any:
        if name not in _COMMANDS:
            raise AttributeError(name)

        async def send(*arguments: Any, **options: Any) -> Any:
            [reply] = await self.send([(name, arguments, options)])
            if isinstance(reply, Exception):
                raise reply
            return reply

        return send

    def pipeline(self, *, transaction: bool = True) -> Pipeline:
        del transaction  # the server does nothing between the commands of one pipeline
        return Pipeline(self)

    def pubsub(self) -> SimulatedPubSub:
        return SimulatedPubSub(self._server, self._link, timeout=self._timeout)

    async def aclose(self) -> None:
        """Connections are not modelled, so there is none to close."""

    async def send(self, commands: list[Command]) -> Replies:
        """Have the server execute commands, and return its answers.

        Raises:
            ConnectionError, TimeoutError: whether they were executed is unknown.
        """
        server, life = self._server, self._server.life
        try:
            await self._link.request()
            if server.is_frozen:
                async with asyncio.timeout(self._timeout):
                    replies = await server.wait(commands)
            else:
                replies = server.execute(commands)
            await self._link.reply()
        except ConnectionLostError as error:
            raise RedisConnectionError(str(error)) from None
        except TimeoutError:
            raise RedisTimeoutError("Timeout reading from socket") from None
        if server.life != life:
            raise RedisConnectionError("connection closed by server")
        return replies


class Pipeline:
    """Commands that are sent together."""

    def __init__(self, client: SimulatedClient) -> None:
        self._client = client
        self._commands: list[Command] = []

    def __getattr__(self, name: str) -> Any:
        if name not in _COMMANDS:
            raise AttributeError(name)

        def add(*arguments: Any, **options: Any) -> Pipeline:
            self._commands.append((name, arguments, options))
            return self

        return add

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._commands.clear()

    async def execute(self) -> Replies:
        if not self._commands:
            return []
        replies = await self._client.send(list(self._commands))
        self._commands.clear()
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


class SimulatedPubSub:
    """A connection on which messages come."""

    def __init__(self, server: SimulatedRedis, link: NetworkLink, *, timeout: float) -> None:
        self._server = server
        self._link = link
        self._timeout = timeout
        self._channels: frozenset[bytes] = frozenset()
        self._number = 0
        self._life = -1
        self._messages: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()

    async def subscribe(self, *channels: str) -> None:
        await SimulatedClient(self._server, self._link, timeout=self._timeout).send([("ping", (), {})])
        self._channels = frozenset(channel.encode() for channel in channels)
        self._life = self._server.life
        self._number = self._server.listen(self._hear)
        for number, channel in enumerate(channels, 1):
            self._arrive({"type": "subscribe", "channel": channel.encode(), "data": number})

    async def ping(self) -> None:
        """Ask for an answer, which comes as a message."""
        asyncio.ensure_future(self._pinged())  # noqa: RUF006 (the loop keeps it)

    async def get_message(self, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109 (the library's own name)
        """Return the next message; None if there is none for so many seconds.

        Raises:
            ConnectionError: the server has ended.
        """
        if not self._messages:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                pass
        if self._life != self._server.life:
            raise RedisConnectionError("connection closed by server")
        return self._messages.popleft() if self._messages else None

    async def aclose(self) -> None:
        self._server.stop_listening(self._number)

    async def _pinged(self) -> None:
        try:
            await SimulatedClient(self._server, self._link, timeout=self._timeout).send([("ping", (), {})])
        except (RedisConnectionError, RedisTimeoutError):
            return
        self._arrive({"type": "pong", "channel": None, "data": b""})

    def _hear(self, channel: bytes, data: bytes) -> None:
        if channel in self._channels and self._link.delivers():
            self._arrive({"type": "message", "channel": channel, "data": data})

    def _arrive(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._arrived.set()
