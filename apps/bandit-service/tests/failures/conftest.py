"""Servers that may be killed: nobody else's tests run on them."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service import migrations

# The harness is imported as `failures.…`, from the test files as from one another.
sys.path.append(str(Path(__file__).parents[1]))

from failures.platform import Platform, running_services

_TEMPLATE = "migrated"
_times: list[str] = []
_numbers = itertools.count(1)

StartPlatform = Callable[..., AbstractContextManager[Platform]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each failure in a small version, and in the one of `make verify`."""
    if "events" in metafunc.fixturenames:
        metafunc.parametrize("events", [1_500, pytest.param(10_000, marks=pytest.mark.verify)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report what the failures cost."""
    if _times:
        terminalreporter.section("failures")
        for line in _times:
            terminalreporter.write_line(line)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that puts a line below the test session's results."""

    def add(line: str) -> None:
        _times.append(f"{request.node.name}: {line}")

    return add


@pytest.fixture(scope="session")
def breakable_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A Postgres that tests kill and freeze. What it has acknowledged survives its own death, which is all they need."""
    options = {"fsync": "off", "max_connections": "100"}
    with PostgresServer(tmp_path_factory.mktemp("breakable"), options=options) as server:
        migrations.upgrade(server.create_database(_TEMPLATE))
        yield server


@pytest.fixture
def start_platform(
    breakable_postgres: PostgresServer, tmp_path: Path, signing_key: str
) -> Iterator[StartPlatform]:
    """Return a function that runs a platform: `with start_platform(services=2) as platform`."""

    @contextmanager
    def start(*, services: int = 2, redis_options: dict[str, str] | None = None, redis_url: str = "") -> Iterator[Platform]:
        database = f"failure_{next(_numbers)}"
        dsn = breakable_postgres.create_database(database, template=_TEMPLATE)
        with RedisServer(tmp_path / "redis", options=redis_options) as redis:
            environment = {
                "BANDIT_REDIS_URL": redis_url or redis.url,
                "BANDIT_POSTGRES_DSN": dsn,
                "BANDIT_SIGNING_KEYS": signing_key,
                "BANDIT_LOG_LEVEL": "info",
            }
            with running_services(services, tmp_path, environment) as running:
                yield Platform(redis, breakable_postgres, dsn, running)
        breakable_postgres.drop_database(database)

    return start
