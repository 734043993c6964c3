"""A TCP proxy that a test can cut, freeze, and lead to another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bandit_local.servers.local_server import HOST

_CHUNK = 65_536


class Gate:
    """Passes everything on to the server behind it while it is open."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._is_cut = False
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gate]:
        server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        self._is_cut = True
        for writer in tuple(self._writers):
            writer.transport.abort()

    def freeze(self) -> None:
        """Keep every connection, and pass nothing on."""
        self._passes.clear()

    def open(self, target: int | None = None) -> None:
        """Pass everything on again, new connections to another server if need be."""
        self.target = target or self.target
        self._is_cut = False
        self._passes.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._is_cut:
                return
            await self._passes.wait()
            there, back = await asyncio.open_connection(HOST, self.target)
            self._writers.add(back)
            both = [asyncio.create_task(self._pass(reader, back)), asyncio.create_task(self._pass(there, writer))]
            self._tasks.update(both)
            await asyncio.wait(both)
            self._tasks.difference_update(both)
            self._writers.discard(back)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
