"""A Postgres with a synchronous standby, and services on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bandit_local.servers import PostgresServer
from bandit_local.testing.standby import Standby
from bandit_service.ledger import migrations

OPTIONS = {"fsync": "off", "wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "1GB"}
# As a standby calls itself unless told otherwise.
_NAME = "walreceiver"


@contextmanager
def running_pair(folder: Path) -> Iterator[tuple[PostgresServer, Standby]]:
    """Run a primary with the service's tables, and a standby that its commits wait for."""
    with PostgresServer(folder / "primary", options=OPTIONS) as primary:
        migrations.upgrade(primary.dsn)
        standby = Standby(folder / "standby", options=OPTIONS)
        standby.follow(primary)
        with standby:
            wait_for_standby(primary, _NAME)
            yield primary, standby


def wait_for_standby(server: PostgresServer, name: str) -> None:
    """Have commits wait for the standby of that name; for none if it is empty."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
        connection.execute("SELECT pg_reload_conf()")
