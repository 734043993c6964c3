"""What is written in one turn of the loop leaves at once, in order, and before the connection closes."""

from __future__ import annotations

import asyncio
from typing import cast

from bandit_service.http.coalescing_transport import CoalescingTransport


class Recorder:
    """A transport that only remembers: what matters is how often it is asked."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def gathered() -> tuple[Recorder, CoalescingTransport]:
    recorder = Recorder()
    return recorder, CoalescingTransport(cast("asyncio.Transport", recorder), asyncio.get_running_loop())


async def test_writes_of_one_turn_are_one() -> None:
    recorder, transport = gathered()
    for part in (b"head", b"body"):
        transport.write(part)
    assert recorder.sent == []
    await asyncio.sleep(0)
    assert recorder.sent == [b"headbody"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert recorder.sent == [b"headbody", b"next"]


async def test_nothing_stays_behind_when_it_closes() -> None:
    recorder, transport = gathered()
    transport.write(b"last")
    transport.close()
    assert (recorder.sent, recorder.closed, transport.is_closing()) == ([b"last"], True, True)


async def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    recorder, transport = gathered()
    transport.write(b"too late")
    recorder.close()
    await asyncio.sleep(0)
    assert recorder.sent == []
