"""Slow, greedy and silent clients of a real process: each is cut off, and the others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bandit_service.http.http_connection import MOST_HEAD_BYTES, TOLD_SO

if TYPE_CHECKING:
    from conftest import Serve

    from bandit_service.settings import Settings

PATIENCE = 1.0
# Connections are looked over twice a second.
CUT_WITHIN = PATIENCE + 3.0
MOST = 40
HEAD = b"POST /select HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
SELECT = HEAD + b"Content-Length: 30\r\n\r\n"


@pytest.fixture(scope="module")
def port(serve: Serve, module_settings: Settings) -> Iterator[int]:
    settings = module_settings.model_copy(update={"client_timeout": PATIENCE, "max_connections": MOST})
    with serve(settings) as url:
        yield httpx.URL(url).port or 0


@dataclass
class Client:
    """A client that speaks for itself, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def dribble(self, piece: bytes, every: float = 0.1) -> None:
        """Send a piece again and again, until the other side has had enough."""
        while True:
            await self.send(piece)
            await asyncio.sleep(every)

    async def rest(self) -> bytes:
        """Return what the server still sends until it closes."""
        received = b""
        try:
            while data := await self.reader.read(65_536):
                received += data
        except ConnectionError:
            pass
        return received


@asynccontextmanager
async def connected(port: int, receive_buffer: int | None = None) -> AsyncIterator[Client]:
    peer = socket.socket()
    if receive_buffer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.setblocking(False)  # noqa: FBT003 - the library's own signature
    await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=peer)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @classmethod
    def read(cls, raw: bytes) -> Answer:
        head, _, body = raw.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in headers)
        return cls(int(status.split()[1]), {name.lower(): value for name, value in pairs}, json.loads(body))


def assert_problem(raw: bytes, status: int) -> None:
    answer = Answer.read(raw)
    assert answer.status == answer.body["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"


@dataclass(frozen=True)
class Dawdler:
    """What a client sends at first, what it then keeps sending, and what it is told in the end (None: nothing)."""

    first: bytes
    then: bytes
    told: int | None


DAWDLERS = {
    "one that says nothing": Dawdler(b"", b"", None),
    "one that stops in the middle of its head": Dawdler(HEAD, b"", 408),
    "one that sends its head in drops": Dawdler(HEAD + b"X-Drops: ", b"x", 408),
    "one that sends header after header": Dawdler(HEAD, b"X-More: x\r\n", 408),
    "one that never sends its body": Dawdler(SELECT, b"", 408),
    "one that sends its body in drops": Dawdler(SELECT, b" ", 408),
    "one that sends its body in chunks without end": Dawdler(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 408
    ),
    "one that is told to go on and does not": Dawdler(
        HEAD + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", b"", 408
    ),
    "one that sends empty lines": Dawdler(b"\r\n", b"\r\n", None),
}


@pytest.fixture(scope="module")
async def ends(port: int) -> dict[str, tuple[bytes, float]]:
    """What each dawdler was sent, and after how many seconds it was cut; all at once, to save their time."""

    async def cut(dawdler: Dawdler) -> tuple[bytes, float]:
        async with connected(port) as client:
            began = time.monotonic()
            await client.send(dawdler.first)
            dribbling = asyncio.create_task(client.dribble(dawdler.then)) if dawdler.then else None
            async with asyncio.timeout(10 * CUT_WITHIN):
                received = await client.rest()
            if dribbling is not None:
                dribbling.cancel()
                await asyncio.gather(dribbling, return_exceptions=True)
            return received, time.monotonic() - began

    found = await asyncio.gather(*(cut(dawdler) for dawdler in DAWDLERS.values()))
    return dict(zip(DAWDLERS, found, strict=True))


@pytest.mark.parametrize("name", DAWDLERS)
def test_a_client_that_dawdles_is_cut_off(name: str, ends: dict[str, tuple[bytes, float]]) -> None:
    received, seconds = ends[name]
    told = DAWDLERS[name].told
    received = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    if told is None:
        assert received == b""
    elif received or not DAWDLERS[name].then:
        # Who still sends while the connection is closed may lose the answer: TCP resets it.
        assert_problem(received, told)
    assert PATIENCE <= seconds < CUT_WITHIN


async def test_a_client_that_dawdles_on_a_connection_that_has_served_is_cut_off(port: int) -> None:
    async with connected(port) as client, asyncio.timeout(10 * CUT_WITHIN):
        await client.send(GET)
        assert b"alive" in await client.reader.readuntil(b"}")
        began = time.monotonic()
        await client.send(b"\r\n" + HEAD)
        assert_problem(await client.rest(), 408)
        assert PATIENCE <= time.monotonic() - began < CUT_WITHIN


async def test_a_client_that_is_slow_but_in_time_is_served(port: int) -> None:
    async with connected(port) as client:
        for piece in (GET[:7], GET[7:20], GET[20:]):
            await client.send(piece)
            await asyncio.sleep(PATIENCE / 10)
        assert b"alive" in await client.reader.readuntil(b"}")


async def test_a_client_that_does_not_take_its_answers_in_is_cut_off(port: int) -> None:
    """It asks for far more than the buffers between hold, and reads nothing."""
    wanted = 400
    async with connected(port, receive_buffer=4_096) as client, asyncio.timeout(10 * CUT_WITHIN):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport can read, too
        await client.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * wanted)
        await asyncio.sleep(3 * PATIENCE)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        received = await client.rest()
    assert 0 < received.count(b"HTTP/1.1 200 OK") < wanted


async def test_a_head_without_end_is_refused(port: int) -> None:
    async with connected(port) as client, asyncio.timeout(10):
        await client.send(HEAD + b"X-Long: " + b"x" * MOST_HEAD_BYTES)
        assert_problem(await client.rest(), 431)


BODY = b'{"experiment_id":"absent"}'
# As Java's HttpClient sends it.
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUA\r\nUpgrade: h2c\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
LAST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("upgrade", [H2C, b"Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n"])
@pytest.mark.parametrize("body", [LENGTH, CHUNKED])
@pytest.mark.parametrize("piece", [1, 100, 10_000])
async def test_an_upgrade_is_ignored_and_the_request_is_not(port: int, upgrade: bytes, body: bytes, piece: int) -> None:
    request = HEAD + upgrade + body
    stream = request + GET + request + LAST
    async with connected(port) as client:
        for start in range(0, len(stream), piece):
            await client.send(stream[start : start + piece])
            await asyncio.sleep(0)
        received = await client.rest()
    statuses = re.findall(rb"HTTP/1.1 (\d+)", received)
    assert statuses == [b"404", b"200", b"404", b"200"]
    assert received.count(b"there is no experiment 'absent'") == 2


@pytest.mark.needs("java")
async def test_the_default_client_of_java_is_answered(serve: Serve, module_settings: Settings) -> None:
    with serve(module_settings) as url:
        command = ["java", str(Path(__file__).with_name("Select.java")), f"{url}/select", BODY.decode()]
        java = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        printed, _ = await java.communicate()
    answers = printed.decode().splitlines()
    assert len(answers) == 3
    assert all(each.startswith("404 ") and "there is no experiment 'absent'" in each for each in answers)


async def test_an_upgrade_without_a_body_is_a_plain_request(port: int) -> None:
    async with connected(port) as client:
        await client.send(GET[:-2] + H2C + b"\r\n" + LAST)
        assert (await client.rest()).count(b'{"status":"alive"}') == 2


@pytest.mark.parametrize("target", [b"/health", b"example.org:443"])
async def test_it_is_no_proxy(port: int, target: bytes) -> None:
    async with connected(port) as client:
        await client.send(b"CONNECT %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target)
        assert_problem(await client.rest(), 400)


async def test_what_is_no_http_is_a_problem(port: int) -> None:
    async with connected(port) as client, asyncio.timeout(10):
        await client.send(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
        assert_problem(await client.rest(), 400)


@asynccontextmanager
async def crowd(port: int, number: int) -> AsyncIterator[list[Client]]:
    """So many clients that connect and say nothing, after those of other tests have gone."""
    async with AsyncExitStack() as stack, asyncio.timeout(CUT_WITHIN):
        while await turned_away(port):
            await asyncio.sleep(0.1)
        yield [await stack.enter_async_context(connected(port)) for _ in range(number)]


async def turned_away(port: int) -> bool:
    async with connected(port) as client:
        await client.send(b"POST /nowhere HTTP/1.0\r\n\r\n")
        return b" 503 " in await client.rest()


async def test_past_the_bound_clients_are_turned_away_and_probes_come_through(port: int) -> None:
    async with crowd(port, MOST) as inside, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        refused = await http.post("/select", json={})
        assert refused.status_code == refused.json()["status"] == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        assert (await http.get("/health")).status_code == 200
        assert 'bandit_connections_cut_total{reason="too many"}' in (await http.get("/metrics")).text
        await inside[0].send(GET)
        assert b"alive" in await inside[0].reader.readuntil(b"}")


async def test_far_past_the_bound_connections_are_closed_without_a_word(port: int) -> None:
    async with crowd(port, MOST + TOLD_SO + 1) as clients:
        assert await clients[-1].rest() == b""
        await clients[MOST].send(SELECT)
        assert_problem(await clients[MOST].rest(), 503)


async def test_an_idle_connection_stays_open_as_long_as_it_is_told(serve: Serve, module_settings: Settings) -> None:
    assert module_settings.keep_alive == 75.0, "longer than balancers keep theirs"
    for seconds, is_open in ((1.0, False), (60.0, True)):
        with serve(module_settings.model_copy(update={"keep_alive": seconds})) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
            writer.write(GET)
            await reader.readuntil(b"}")
            with suppress(TimeoutError):
                assert await asyncio.wait_for(reader.read(), 8.0) == b""
                assert not is_open
            writer.write(GET)
            with suppress(ConnectionError):
                assert (await reader.read(8) == b"HTTP/1.1") == is_open
            writer.close()
