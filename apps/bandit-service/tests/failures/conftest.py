"""A platform that may be broken: nobody else's tests run on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service.ledger import migrations

from .platform import Platform, running_platform

type Report = Callable[[str], None]

_REPORT = "failures"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each failure in a small version, and in the one of `make verify`."""
    if "events" in metafunc.fixturenames:
        metafunc.parametrize("events", [1_000, pytest.param(10_000, marks=pytest.mark.verify)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report what the failures cost, whichever worker measured it."""
    done = (each for reports in terminalreporter.stats.values() for each in reports)
    called = (each for each in done if isinstance(each, pytest.TestReport) and each.when == "call")
    lines = [value for each in called for name, value in each.user_properties if name == _REPORT]
    if lines:
        terminalreporter.section("failures")
        for line in lines:
            terminalreporter.write_line(str(line))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Return a function that puts a line below the results."""

    def add(line: str) -> None:
        request.node.user_properties.append((_REPORT, f"{request.node.name}: {line}"))

    return add


@pytest.fixture(scope="session")
def breakable_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A Postgres that survives its own death, but not the machine's: that is all these tests need."""
    with PostgresServer(tmp_path_factory.mktemp("breakable"), options={"fsync": "off"}) as server:
        migrations.upgrade(server.dsn)
        yield server


@pytest.fixture(scope="session")
def two_replicas(
    breakable_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory, signing_key: str
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    with (
        RedisServer(folder / "redis") as redis,
        running_platform(folder, redis, breakable_postgres, signing_key) as platform,
    ):
        yield platform


@pytest.fixture
def platform(two_replicas: Platform) -> Platform:
    """Two service processes on one Redis and one Postgres, with everything running."""
    two_replicas.mend()
    return two_replicas
