"""A load generator of our own, for machines without wrk. It costs several times as much per request as wrk does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import numpy as np
import uvloop

from benchmarks.load.traffic import ExhaustedError, Generator, LoadError, Seen, Traffic

_HTTP_PORT = 80
_OK = b"HTTP/1.1 2"


def bundled() -> Generator:
    """Return the generator."""
    return Generator("the bundled asyncio client", lambda traffic: uvloop.run(_send(traffic)))


class _Client(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again."""

    def __init__(self, requests: Iterator[bytes], until: float, done: asyncio.Future[None]) -> None:
        self.latencies: list[float] = []
        self._requests = requests
        self._until = until
        self._done = done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank or len(body) < _length(head):
            return
        now = perf_counter()
        self.latencies.append(now - self._asked)
        if not head.startswith(_OK):
            self._end(LoadError(f"answered {head[:40]!r} {body[:200]!r}"))
        elif now >= self._until:
            self._end(None)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or LoadError("the server closed a connection"))

    def _ask(self) -> None:
        self._buffer = b""
        request = next(self._requests, None)
        if request is None:
            self._end(ExhaustedError("there were not enough bodies for this many requests"))
            return
        self._asked = perf_counter()
        self._transport.write(request)

    def _end(self, error: LoadError | None) -> None:
        if not self._done.done():
            if error is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(error)
        self._transport.close()


async def _send(traffic: Traffic) -> Seen:
    parts = urlsplit(traffic.url)
    bodies = itertools.cycle(traffic.bodies) if traffic.repeats else iter(traffic.bodies)
    requests = (_request(parts.path, parts.netloc, body) for body in bodies)
    loop = asyncio.get_running_loop()
    started = perf_counter()
    waiting = [loop.create_future() for _ in range(traffic.connections)]
    clients = [_Client(requests, started + traffic.seconds, done) for done in waiting]
    for client in clients:
        await loop.create_connection(partial(_same, client), parts.hostname or "", parts.port or _HTTP_PORT)
    await asyncio.gather(*waiting)
    elapsed = perf_counter() - started
    milliseconds = 1_000 * np.concatenate([np.array(client.latencies) for client in clients])
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return Seen(len(milliseconds), elapsed, float(p50), float(p99))


def _same(client: _Client) -> _Client:
    return client


def _request(path: str, host: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])
