"""Without API keys only programs of the same machine may ask, and pages of other sites are no such programs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from bandit_service.http.application import RequestMiddleware
from bandit_service.http.request_guard import RequestGuard

OWN = ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "bandit.localhost", "LOCALHOST", "workbench"]
FOREIGN = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.7",
    "",
    "[",
    "localhost@evil.example",
]


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("taken")(scope, receive, send)


def guarded(host_names: set[str] | None) -> RequestMiddleware:
    guard = RequestGuard(host_names)
    return RequestMiddleware(answer, guard=guard, max_body_bytes=100, new_request_id=lambda: "made-here")


async def status(method: str = "POST", *, keys: bool = False, **headers: str) -> int:
    app = guarded(None if keys else {"workbench"})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.request(method, "/", headers=named)).status_code


@pytest.mark.parametrize("port", ["", ":8000"])
@pytest.mark.parametrize("name", OWN)
async def test_this_machine_may_be_called_by_its_names(name: str, port: str) -> None:
    assert await status(Host=name + port) == 200
    assert await status(Origin=f"http://{name}{port}") == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", FOREIGN)
async def test_another_host_is_refused(name: str, method: str) -> None:
    assert await status(method, Host=name) == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://evil.example:8000", "file://"])
async def test_a_page_of_another_site_may_change_nothing(origin: str) -> None:
    assert [await status(method, Origin=origin) for method in ("POST", "PUT", "PATCH", "DELETE")] == [403] * 4
    assert await status("GET", Origin=origin) == 200


async def test_a_browser_without_origin_tells_of_the_site() -> None:
    assert await status(Sec_Fetch_Site="cross-site") == 403
    assert await status(Sec_Fetch_Site="same-origin") == 200


async def test_with_keys_any_host_and_page_may_ask() -> None:
    assert await status(keys=True, Host="bandit.example", Origin="https://shop.example") == 200


@pytest.mark.parametrize("encoding", ["gzip, chunked", "identity", "gzip"])
async def test_a_body_is_sent_plain_or_in_chunks(encoding: str) -> None:
    assert await status(keys=True, Transfer_Encoding=encoding) == 400
    assert await status(keys=True, Transfer_Encoding="Chunked") == 200


@pytest.mark.parametrize("headers", [[], [(b"host", b"localhost"), (b"host", b"evil.example")]])
async def test_a_request_has_one_host(headers: list[tuple[bytes, bytes]]) -> None:
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message.get("status"))

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "http_version": "1.1"}
    await guarded(None)(scope, receive, send)
    assert sent[0] == 400
