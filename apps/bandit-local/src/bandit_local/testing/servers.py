"""One Postgres for each process that runs tests, and databases that are copies of a migrated one.

Each worker has its own. Starting and migrating it takes about as long as one test that needs it, less than sharing
would save, and what a test does to it (or a failure leaves behind) stays with one worker.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from bandit_local.servers import PostgresServer

MIGRATED = "migrated"
EMPTY = "template1"
# Tests that end a server end it with SIGKILL, which the operating system survives: the disk need not be waited for.
# DROP DATABASE waits for every session, also for one that a cancelled connection attempt left in its authentication:
# for authentication_timeout, which is a minute unless set.
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "authentication_timeout": "3s",
}
STARTING_FIXTURES = frozenset(
    {"postgres_server", "redis_server", "s3_server", "breakable_postgres", "service_process", "platform"}
)
STARTING_NAMES = ("PostgresServer", "RedisServer", "S3Server", "running_stack", "start_node")

type NewDatabase = Callable[[str], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A Postgres with a migrated database that others are copied from."""
    from bandit_service.ledger import migrations  # late: most tests need no server, and this takes half a second

    with PostgresServer(tmp_path_factory.mktemp("postgres"), options=OPTIONS) as server:
        migrations.upgrade(server.create_database(MIGRATED))
        yield server


@pytest.fixture(scope="session")
def new_database(postgres_server: PostgresServer) -> NewDatabase:
    """Return what lends a copy of MIGRATED or EMPTY for as long as a `with` lasts."""
    numbers = itertools.count(1)

    @contextmanager
    def lend(template: str) -> Iterator[str]:
        name = f"test_{next(numbers)}"
        yield postgres_server.create_database(name, template=template)
        postgres_server.drop_database(name)

    return lend


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def odd_database(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[str]:
    """A database that cannot hold every text."""
    name = f"in_{request.param}"
    yield postgres_server.create_database(name, "template0", request.param)
    postgres_server.drop_database(name)


def uses_a_server(item: pytest.Item) -> bool:
    """Return whether a test has a fixture that starts a server, or is in a module that imports what starts one."""
    module = getattr(item, "module", None)
    return not STARTING_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) or any(
        hasattr(module, name) for name in STARTING_NAMES
    )
