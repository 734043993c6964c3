"""A TCP proxy between a service and its store: slow, silent, or leading to another server, as a test wants it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

from bandit_local.servers.local_server import HOST

_CHUNK = 65_536
_LOOK_AGAIN = 0.01


class Proxy:
    """Passes everything on in order, after `delay` seconds each way; what was under way even after a hang-up.

    It works in a thread of its own, so that it outlives a test and goes on while one waits. `takes` and `answers` say
    whether it passes anything on to the server, and back. `drop` makes the connections that there are half open: both
    ends keep them and nothing comes through any more, while new ones work.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.mend(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._first_whole = 0
        self._links = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def mend(self, target: int) -> None:
        """Pass everything on at once, for new connections to that port."""
        self.target = target
        self.delay = 0.0
        self.takes = self.answers = True

    def lead_to(self, target: int) -> None:
        """End every connection; new ones go to that port."""
        self.target = target
        self._loop.call_soon_threadsafe(self._cut)

    def cut(self) -> None:
        """End every connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def drop(self) -> None:
        """Let nothing more through the connections that there are, and tell neither end."""
        self._first_whole = next(self._links)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        link = next(self._links)
        self._begin(self._pass_on(reader, back, lambda: self.takes and link >= self._first_whole))
        self._begin(self._pass_on(there, writer, lambda: self.answers and link >= self._first_whole))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Callable[[], bool]
    ) -> None:
        """Read at once and write later, so that a delay does not become a bottleneck."""
        arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await arrived.get()
                await asyncio.sleep(due - self._loop.time())
                while not passes():
                    await asyncio.sleep(_LOOK_AGAIN)
                if not data:
                    writer.close()
                    self._writers.discard(writer)
                    return
                writer.write(data)
                await writer.drain()

        delivering = self._loop.create_task(deliver())
        try:
            with suppress(OSError):
                while data := await reader.read(_CHUNK):
                    arrived.put_nowait((self._loop.time() + self.delay, data))
            arrived.put_nowait((self._loop.time() + self.delay, b""))
            with suppress(OSError):
                await delivering
        finally:
            delivering.cancel()
