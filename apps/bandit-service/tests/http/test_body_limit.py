"""A body that is too large is refused before anything reads it, announced or not."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from bandit_service.http.application import BodyLimit

LIMIT = 100


async def echo(request: Request) -> Response:
    return Response(await request.body())


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = BodyLimit(Starlette(routes=[Route("/", echo, methods=["GET", "POST"])]), LIMIT)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


@pytest.mark.parametrize("size", [0, 1, LIMIT])
async def test_a_body_up_to_the_limit_arrives_whole(size: int, client: httpx.AsyncClient) -> None:
    response = await client.post("/", content=b"x" * size)
    assert response.content == b"x" * size


async def test_a_body_in_pieces_arrives_whole(client: httpx.AsyncClient) -> None:
    response = await client.post("/", content=chunks(40, 0, 60))
    assert response.content == b"x" * 100


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
async def test_a_compressed_body_is_refused_by_name(encoding: str, client: httpx.AsyncClient) -> None:
    response = await client.post("/", content=b"x", headers={"Content-Encoding": encoding})
    assert response.status_code == 415
    assert response.json()["detail"] == "send the body without Content-Encoding"


async def test_the_encoding_identity_changes_nothing(client: httpx.AsyncClient) -> None:
    response = await client.post("/", content=b"x", headers={"Content-Encoding": "identity"})
    assert response.content == b"x"


@pytest.mark.parametrize("sizes", [(101,), (60, 41), (1,) * 101])
async def test_a_body_in_pieces_is_counted(sizes: tuple[int, ...], client: httpx.AsyncClient) -> None:
    response = await client.post("/", content=chunks(*sizes))
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"


async def test_an_announced_length_is_refused_without_reading() -> None:
    """The client may be slow, or never send what it announced."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing must be read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"101")]}
    await BodyLimit(Starlette(), LIMIT)(scope, receive, send)
    assert sent[0]["status"] == 413


async def test_of_a_client_that_leaves_midway_the_application_hears_nothing() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        raise AssertionError("nobody is there to be answered")

    async def send(message: Message) -> None: ...

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"transfer-encoding", b"chunked")]}
    with pytest.raises(ClientDisconnect):
        await BodyLimit(application, LIMIT)(scope, receive, send)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_has_no_body_passes(kind: str) -> None:
    seen: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        seen.append(scope["type"])

    async def nothing() -> Message:
        raise AssertionError("nothing must be read")

    async def send(message: Message) -> None: ...

    await BodyLimit(application, LIMIT)({"type": kind}, nothing, send)
    assert seen == [kind]
