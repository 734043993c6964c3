"""Asking over real connections, good ones and bad ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bandit_router.client import open_client
from bandit_sdk import Client
from bandit_sdk.errors import UnavailableError, UnreachableError

if TYPE_CHECKING:
    from conftest import Service

BODY = b'{"experiment_id": "x", "arm": "a", "arm_index": 0}'
FOUND = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
BUSY = b"HTTP/1.1 503 Busy\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def server(*answers: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one request per connection: with these bytes, with silence (None), or by hanging up (no bytes)."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as threads:
        silent: list[socket.socket] = []

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                requests.append(connection.recv(65_536))
                if answer is None:
                    silent.append(connection)
                    continue
                connection.sendall(answer)
                connection.close()

        threads.submit(serve)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", requests
        for connection in silent:
            connection.close()


def test_a_question_names_its_key() -> None:
    with server(FOUND) as (url, requests), open_client(f"{url}/bandit/", timeout=5.0, api_key="secret") as client:
        assert client.select("x").arm_index == 0
        assert requests[0].startswith(b"POST /bandit/select HTTP/1.1")
        assert b"Authorization: Bearer secret" in requests[0]


def test_silence_ends_with_the_budget() -> None:
    with server(None) as (url, _), open_client(url, timeout=0.2) as client:
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            client.select("x")
        assert 0.2 <= time.monotonic() - began < 1.0


def test_a_pause_beyond_the_budget_is_not_waited_for() -> None:
    with server(BUSY) as (url, requests), open_client(url, timeout=0.5) as client:
        with pytest.raises(UnavailableError):
            client.select("x")
        assert len(requests) == 1


def test_a_connection_that_breaks_is_tried_once_more() -> None:
    with server(b"", FOUND) as (url, requests), open_client(url, timeout=5.0) as client:
        assert client.select("x", decision_id="p").arm_index == 0
        assert len(requests) == 2
    with server(b"", b"") as (url, _), open_client(url, timeout=5.0) as client, pytest.raises(UnreachableError):
        client.select("x", decision_id="p")


def test_threads_share_it(service: Service, client: Client) -> None:
    experiment = service.create()
    threads = set()

    def decide(number: int) -> bool:
        threads.add(threading.get_ident())
        return client.select(experiment, decision_id=f"shared-{number}").decision_id == f"shared-{number}"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(decide, range(200)))
    assert len(threads) > 1
