"""The role that Grafana reads as may read what the dashboards ask for, wherever the tables are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bandit_local.servers import PostgresServer
from bandit_service.ledger import migrations

READER = Path(__file__).parents[1] / "reader.sql"


@pytest.fixture
def own_schema(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of the owner of tables that are in a schema of their own."""
    dsn = make_conninfo(postgres_server.create_database("own"), options="-csearch_path=bandit_app")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE SCHEMA bandit_app")
    migrations.upgrade(dsn)
    yield dsn
    postgres_server.drop_database("own")


def test_tables_in_a_schema_of_their_own(own_schema: str) -> None:
    with psycopg.connect(own_schema) as connection:
        connection.execute(READER.read_bytes())
        connection.execute("ALTER ROLE bandit_reader LOGIN PASSWORD 'secret'")
    as_grafana = make_conninfo(own_schema, user="bandit_reader", password="secret", options="")
    with psycopg.connect(as_grafana) as connection:
        for view in ("experiments_v1", "events_v1", "posteriors_v1", "allocations_v1"):
            assert connection.execute(f"SELECT count(*) FROM {view}").fetchone() == (0,)  # noqa: S608
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM api_keys")
