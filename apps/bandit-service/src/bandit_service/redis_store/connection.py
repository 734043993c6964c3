"""One connection with a single user: many commands a round trip, and no reconnection behind that user's back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from bandit_service.redis_store.errors import StoreUnavailableError, means_read_only
from bandit_service.redis_store.scripts import script

type Command = tuple[str | bytes | int, ...]

# A new connection takes several round trips (authentication, scripts) before its first command.
_HANDSHAKES = 6


class PipelinedConnection:
    """A connection that sends a list of commands at once and reads all their answers.

    Only `open` connects, never `execute`: whoever relies on what an earlier connection saw must look again if the store
    behind the new one may have been restarted, since it may have come back with less. `generation` counts those stores.
    """

    def __init__(self, url: str, *, timeout: float, scripts: Sequence[str] = ()) -> None:
        self._pool = ConnectionPool.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._timeout = timeout
        self._scripts = scripts
        self._connection: AbstractConnection | None = None
        self._identity: tuple[str, ...] = ()
        self.generation = 0

    async def open(self) -> bool:
        """Connect unless connected; say whether the store may be another one than before, or has been restarted.

        Raises:
            StoreUnavailableError: the store cannot be reached.
        """
        if self._connection is not None:
            return False
        connection = cast("AbstractConnection", self._pool.make_connection())  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(_HANDSHAKES * self._timeout):
                await cast("Any", connection).connect()
                *_, server, replication = await _round_trip(
                    connection, [*self._loads(), ("INFO", "server"), ("INFO", "replication")]
                )
        except (RedisError, OSError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            raise StoreUnavailableError(type(error).__name__) from error
        except asyncio.CancelledError:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        before, self._identity = self._identity, _identity(server, replication)
        if before and before == self._identity:
            return False
        self.generation += 1
        return True

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Return the commands' answers in order; an error answer is returned as the exception it names.

        Raises:
            StoreUnavailableError: the connection failed or is not open; which commands were executed is unknown.
        """
        if self._connection is None:
            raise StoreUnavailableError("NotConnected")
        try:
            async with asyncio.timeout(self._timeout):
                answers = await _round_trip(self._connection, commands)
        except (RedisError, OSError, TimeoutError) as error:
            await self.close()
            raise StoreUnavailableError(type(error).__name__) from error
        except asyncio.CancelledError:
            # Answers of the cancelled round trip are still on their way: the connection cannot be used again.
            await self.close()
            raise
        if any(isinstance(answer, Exception) and means_read_only(answer) for answer in answers):
            # The server has become a replica: another one is the store now.
            await self.close()
            raise StoreUnavailableError("ReadOnlyError")
        return answers

    async def teach(self) -> None:
        """Load the scripts again, after a server has forgotten them."""
        await self.execute(self._loads())

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    def _loads(self) -> list[Command]:
        return [("SCRIPT", "LOAD", script(name).source) for name in self._scripts]


async def _round_trip(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    await connection.send_packed_command(
        [hiredis.pack_command(cast("Any", command)) for command in commands], check_health=False
    )
    return [await _answer(connection) for _ in commands]


def _identity(*sections: bytes | Exception) -> tuple[str, ...]:
    """Return what stays the same only while a server keeps its data: its run, and its history of replication.

    Empty if the server does not say: then every connection counts as one to another store.
    """
    lines = [line for section in sections if isinstance(section, bytes) for line in section.decode().splitlines()]
    found = tuple(line for line in lines if line.startswith(("run_id:", "master_replid:")))
    return found if len(found) == len(sections) else ()


async def _answer(connection: AbstractConnection) -> Any:  # noqa: ANN401 (a Redis reply has no narrower type)
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
