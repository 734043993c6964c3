"""Asking over real connections, good ones and bad ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bandit_router.client import ServiceClient, UnreachableError

if TYPE_CHECKING:
    from conftest import Service

FOUND = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + b'{"a": 1}'
NOT_JSON = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>"


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


@pytest.fixture
def ask() -> Callable[..., ServiceClient]:
    return lambda url, timeout=5.0, **more: ServiceClient(url, timeout=timeout, **more)


def test_an_answer_is_its_status_and_its_object(ask: Callable[..., ServiceClient]) -> None:
    with server(FOUND, NOT_JSON) as (url, requests):
        client = ask(url, api_key="secret")
        found = client.post("/select", {"x": 1}, repeatable=True)
        assert (found.status, found.body) == (200, {"a": 1})
        assert b"Authorization: Bearer secret" in requests[0]
        other = client.get("/x")
        assert (other.status, other.body, other.detail) == (502, {}, "HTTP status 502")
        client.close()


def test_a_service_behind_a_path_is_found(ask: Callable[..., ServiceClient]) -> None:
    with server(FOUND) as (url, requests):
        ask(f"{url}/bandit/").get("/experiments/x")
        assert requests[0].startswith(b"GET /bandit/experiments/x HTTP/1.1")


def test_silence_ends_with_the_budget(ask: Callable[..., ServiceClient]) -> None:
    with server(None) as (url, _):
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            ask(url, timeout=0.2).post("/select", {}, repeatable=True)
        assert 0.2 <= time.monotonic() - began < 1.0


def test_nobody_there_is_unreachable(ask: Callable[..., ServiceClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UnreachableError):
        ask(f"http://127.0.0.1:{port}").get("/")


def test_a_connection_that_breaks_is_tried_once_more(ask: Callable[..., ServiceClient]) -> None:
    with server(b"", FOUND) as (url, requests):
        assert ask(url).post("/select", {"decision_id": "p"}, repeatable=True).status == 200
        assert len(requests) == 2
    with server(b"", b"") as (url, _), pytest.raises(UnreachableError):
        ask(url).post("/select", {"decision_id": "p"}, repeatable=True)


def test_what_must_not_be_repeated_is_sent_once(ask: Callable[..., ServiceClient]) -> None:
    with server(b"") as (url, requests):
        with pytest.raises(UnreachableError):
            ask(url).post("/reward", {"arm": "a"}, repeatable=False)
        assert len(requests) == 1


def test_threads_share_it(service: Service, client: ServiceClient) -> None:
    experiment = service.create()
    threads = set()

    def decide(number: int) -> int:
        threads.add(threading.get_ident())
        body = {"experiment_id": experiment, "decision_id": f"shared-{number}"}
        answer = client.post("/select", body, repeatable=True)
        return answer.status if answer.body["decision_id"] == body["decision_id"] else 0

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(decide, range(200))) == {200}
    assert len(threads) > 1
