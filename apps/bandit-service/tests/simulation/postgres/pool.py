"""A process's pool of connections, as psycopg's: few, given out in turn, and made anew when they are lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from bandit_service.ledger.pool import CONNECT_TIMEOUT, RECONNECT_TIMEOUT

from ..link import ConnectionLostError, Link
from .connection import SimulatedConnection

if TYPE_CHECKING:
    from .server import SimulatedPostgres
    from .session import Session

# As psycopg's pool does it: a second after the first failure, then twice as long each time.
_FIRST_DELAY: Final = 1.0
_JITTER: Final = 0.1


class SimulatedPool:
    """Gives connections out.

    Args:
        server: Where they lead to.
        link: On which way.
        min_size: How many it keeps open.
        max_size: How many it has at most.
        client: Whose it is, for those who look at what was committed.
    """

    def __init__(
        self, server: SimulatedPostgres, link: Link, *, min_size: int, max_size: int, client: str = ""
    ) -> None:
        self.closed = True
        self._client = client
        self._server = server
        self._link = link
        self._min_size = min_size
        self._max_size = max_size
        self._idle: deque[SimulatedConnection] = deque()
        self._waiting: deque[asyncio.Future[SimulatedConnection]] = deque()
        self._all: dict[SimulatedConnection, None] = {}
        self._size = 0
        self._is_growing = False
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def open(self, wait: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (as psycopg's)
        self.closed = False
        for _ in range(self._min_size):
            self._size += 1
            self._start(self._add())

    async def close(self, timeout: float = 0.0) -> None:  # noqa: ARG002, ASYNC109 (as psycopg's)
        self.closed = True
        for task in self._tasks:
            task.cancel()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(PoolClosed("the pool is closed"))
        while self._idle:
            self._idle.popleft().drop()

    def cut(self) -> None:
        """End every session, because the process was killed: what it has not committed is rolled back."""
        self.closed = True
        for connection in list(self._all):
            connection.die()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def connection(self) -> Lent:
        """Return what lends a connection.

        Raises, when it is entered:
            PoolTimeout: none was free in time. TooManyRequests: too many wait already. PoolClosed: as it says.
        """
        return Lent(self)

    async def take(self) -> SimulatedConnection:
        """Return a connection that nobody else has until it is given back."""
        if self.closed:
            raise PoolClosed("the pool is not open")
        if self._idle:
            return self._idle.popleft()
        if len(self._waiting) >= 16 * self._max_size:
            raise TooManyRequests("too many requests wait")
        waiter: asyncio.Future[SimulatedConnection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._grow()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await waiter
        except TimeoutError:
            raise PoolTimeout("couldn't get a connection in time") from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise

    def give_back(self, connection: SimulatedConnection) -> None:
        """Take a connection back; one that is of no use any more is replaced."""
        if connection.status is TransactionStatus.IDLE and not self.closed:
            self._offer(connection)
            return
        connection.drop()
        del self._all[connection]
        if not self.closed:
            self._start(self._add())

    def _offer(self, connection: SimulatedConnection) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    def _grow(self) -> None:
        if self._size < self._max_size and not self._is_growing:
            self._is_growing = True
            self._size += 1
            self._start(self._add(is_growing=True))

    async def _add(self, *, is_growing: bool = False) -> None:
        """Make a connection; give up after a while, so that the next request starts anew."""
        loop = asyncio.get_running_loop()
        give_up_at, delay = loop.time() + RECONNECT_TIMEOUT, _FIRST_DELAY
        while True:
            try:
                connection = await self._connect()
            except (psycopg.OperationalError, ConnectionLostError):
                if self.closed or loop.time() >= give_up_at:
                    self._size -= 1
                    self._is_growing = self._is_growing and not is_growing
                    return
                spread = 1 + _JITTER * (2 * self._server.rng.random() - 1)
                await asyncio.sleep(max(0.0, min(delay * spread, give_up_at - loop.time())))
                delay *= 2
                continue
            self._offer(connection)
            if is_growing:
                self._is_growing = False
                if any(not waiter.done() for waiter in self._waiting):
                    self._grow()
            return

    async def _connect(self) -> SimulatedConnection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._link.request()
                session = await self._accepted()
                await self._link.reply()
        except TimeoutError:
            raise psycopg.errors.ConnectionTimeout("connection timeout expired") from None
        connection = SimulatedConnection(session, self._link)
        self._all[connection] = None
        return connection

    async def _accepted(self) -> Session:
        server = self._server
        if server.is_frozen:
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            server.when_thawed(lambda: None if answer.done() else answer.set_result(None))
            await answer
        return server.connect(self._client)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))


class Lent:
    """A connection that is lent for as long as a block lasts, as psycopg's pool does it."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: SimulatedPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> SimulatedConnection:
        connection = self._connection = await self._pool.take()
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._connection.__aexit__(kind, error, trace)
        finally:
            self._pool.give_back(self._connection)
