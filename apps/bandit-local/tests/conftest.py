"""Real servers for the tests of this app."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.servers.process import ChildProcess

# Tests end servers with SIGKILL, which the operating system survives: nothing here needs the disk to be waited for.
FAST = {"fsync": "off"}


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def postgres_server(tmp_path: Path) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path / "postgres", options=FAST) as server:
        yield server


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Callable[..., ChildProcess]]:
    """Start Python programs as children; whichever still run at the end are killed."""
    started: list[ChildProcess] = []

    def start(program: str, *arguments: str) -> ChildProcess:
        log = tmp_path / f"python-{len(started)}.log"
        started.append(ChildProcess([sys.executable, "-u", "-c", program, *arguments], log))
        return started[-1]

    yield start
    for child in started:
        child.kill()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait up to a minute for something to become true."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, "it did not become true within a minute"
            time.sleep(0.01)

    return wait
