"""One connection for group commits: many commands a round trip, and no reconnection behind the caller's back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from bandit_service.redis_store.errors import StoreUnavailableError
from bandit_service.redis_store.scripts import script

type Command = tuple[str | bytes | int, ...]


class PipelinedConnection:
    """A connection that sends a list of commands at once and reads all their answers.

    Every new connection raises `generation`: whoever relies on what an earlier connection saw must look again, since
    the server may have been restarted in between.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        self._pool = ConnectionPool.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._timeout = timeout
        self._connection: AbstractConnection | None = None
        self.generation = 0

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Return the commands' answers in order; an error answer is returned as the exception it names.

        Raises:
            StoreUnavailableError: the connection failed; which commands were executed is unknown.
        """
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connected()
                return await self._round_trip(connection, commands)
        except (RedisError, OSError, TimeoutError) as error:
            await self.close()
            raise StoreUnavailableError(type(error).__name__) from error
        except asyncio.CancelledError:
            # Answers of the cancelled round trip are still on their way: the connection cannot be used again.
            await self.close()
            raise

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _connected(self) -> AbstractConnection:
        if self._connection is None:
            connection = cast("AbstractConnection", self._pool.make_connection())  # type: ignore[no-untyped-call]
            await cast("Any", connection).connect()
            await self._round_trip(connection, [("SCRIPT", "LOAD", script("commit").source)])
            self._connection = connection
            self.generation += 1
        return self._connection

    @staticmethod
    async def _round_trip(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        await connection.send_packed_command(
            [hiredis.pack_command(cast("Any", command)) for command in commands], check_health=False
        )
        return [await _answer(connection) for _ in commands]


async def _answer(connection: AbstractConnection) -> Any:  # noqa: ANN401 (a Redis reply has no narrower type)
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
