"""One rich line per request, with an id that the caller gets back; nothing of the inside leaks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.contextvars import bind_contextvars, merge_contextvars
from structlog.testing import LogCapture

from bandit_service.http.application import RequestMiddleware
from bandit_service.http.request_guard import RequestGuard

REQUEST_ID = "x-request-id"


async def ok(_: Request) -> Response:
    bind_contextvars(decision_id="d1.abc")
    return PlainTextResponse("ok")


async def refuse(_: Request) -> Response:
    return PlainTextResponse("no", status_code=404)


async def fail(_: Request) -> Response:
    raise RuntimeError("the password is hunter2")


@pytest.fixture
def client() -> httpx.AsyncClient:
    paths = {"/things": ok, "/select": ok, "/missing": refuse, "/fails": fail}
    app = Starlette(routes=[Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in paths.items()])
    guard = RequestGuard(None)
    app.add_middleware(RequestMiddleware, guard=guard, max_body_bytes=100, new_request_id=lambda: "made-here")
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile."""
    before = structlog.get_config()
    capture = LogCapture()
    structlog.configure(processors=[merge_contextvars, capture], cache_logger_on_first_use=False)
    yield capture.entries  # type: ignore[misc]
    structlog.configure(**before)


async def test_a_request_without_id_gets_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/things")).headers[REQUEST_ID] == "made-here"


async def test_the_caller_s_id_is_kept(client: httpx.AsyncClient) -> None:
    response = await client.get("/things", headers={REQUEST_ID: "from-caller_1.2:3"})
    assert response.headers[REQUEST_ID] == "from-caller_1.2:3"


@pytest.mark.parametrize("given", ["a b", 'a"b', "x" * 129, ""])
async def test_an_id_that_does_not_belong_into_a_log_is_replaced(given: str, client: httpx.AsyncClient) -> None:
    assert (await client.get("/things", headers={REQUEST_ID: given})).headers[REQUEST_ID] == "made-here"


async def test_a_request_is_one_line_with_what_the_handler_added(
    client: httpx.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    await client.get("/things?secret=1")
    [line] = lines
    assert line["log_level"] == "info"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/things", 200)
    assert (line["request_id"], line["decision_id"]) == ("made-here", "d1.abc")
    assert line["duration_ms"] >= 0


async def test_nothing_of_one_request_appears_in_the_line_of_the_next(
    client: httpx.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    await client.get("/things")
    await client.get("/missing")
    assert "decision_id" not in lines[1]


async def test_busy_endpoints_are_silent_while_all_is_well(
    client: httpx.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    await client.post("/select")
    assert [line["log_level"] for line in lines] == ["debug"]


async def test_an_unexpected_error_is_a_problem_without_internals(
    client: httpx.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    response = await client.get("/fails")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers[REQUEST_ID] == "made-here"
    assert "hunter2" not in response.text
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("request_failed", "error"),
        ("request", "warning"),
    ]
    assert lines[0]["exc_info"]
    assert lines[0]["request_id"] == "made-here"


async def test_a_refused_body_is_logged_and_answered_with_the_id(
    client: httpx.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    response = await client.post("/select", content=b"x" * 101)
    assert response.status_code == 413
    assert response.headers[REQUEST_ID] == "made-here"
    assert lines[0]["status"] == 413


def logged(*statements: str) -> list[str]:
    """Return the lines a fresh program prints after configuring its logs."""
    script = "\n".join(["import logging, structlog", "from bandit_service.http import logs", *statements])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.splitlines()


def test_every_line_is_json_those_of_libraries_too() -> None:
    lines = logged(
        "logs.configure('json', 'info')",
        "structlog.get_logger('here').info('own', arm='b')",
        "structlog.get_logger('here').debug('hidden')",
        "logging.getLogger('there').warning('a %s', 'library')",
        "logging.getLogger('uvicorn.access').info('hidden')",
        "try: 1 / 0\nexcept ZeroDivisionError: structlog.get_logger('here').exception('failed')",
    )
    own, foreign, failed = map(json.loads, lines)
    assert (own["event"], own["arm"], own["level"], own["logger"]) == ("own", "b", "info", "here")
    assert own["timestamp"].endswith("Z")
    assert (foreign["event"], foreign["level"], foreign["logger"]) == ("a library", "warning", "there")
    assert "ZeroDivisionError" in failed["exception"]


def test_a_console_shows_plain_lines() -> None:
    [line] = logged("logs.configure('console', 'warning')", "structlog.get_logger('here').warning('own', arm='b')")
    assert "own" in line
    assert "arm=b" in line
