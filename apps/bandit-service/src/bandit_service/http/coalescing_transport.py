"""A transport that sends what is written in one turn of the event loop with one system call."""

from __future__ import annotations

import asyncio
from typing import Any


class CoalescingTransport:
    """Stands before a transport, and is one to its writer.

    An ASGI server writes the head and the body of an answer one after the other, and uvloop sends each at once: two
    packets, of which the second costs as much as everything the service does in between.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self.flush)
        self._written.append(data)

    def flush(self) -> None:
        """Send what was written so far."""
        if self._written:
            written, self._written = self._written, []
            if not self._transport.is_closing():
                self._transport.write(b"".join(written))

    def close(self) -> None:
        """Close once everything has been sent."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)
