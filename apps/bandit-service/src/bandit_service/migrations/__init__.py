"""The schema, as numbered files of plain SQL that Alembic applies in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine

CONNECT_TIMEOUT = 5


def upgrade(dsn: str) -> str:
    """Bring the database to the newest revision and return that. Processes that do so at once wait for each other.

    Raises:
        psycopg.Error, sqlalchemy.exc.SQLAlchemyError: Postgres is away or refuses; then nothing was changed.
    """
    with _configured() as config, _connected(dsn) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return head_revision()


def current_revision(dsn: str) -> str | None:
    """Return the revision a database is at; None before the first migration."""
    with _connected(dsn) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """Return the newest revision this version of the service knows."""
    with _configured() as config:
        head = ScriptDirectory.from_config(config).get_current_head()
    if head is None:
        raise RuntimeError("this installation lacks its migration files: install bandit-service again")
    return head


@contextmanager
def _configured() -> Iterator[Config]:
    with as_file(files(__name__)) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        yield config


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    # The driver connects by itself, so that every form of DSN that libpq understands works here too.
    engine = create_engine("postgresql+psycopg://", creator=lambda: _connect(dsn), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def _connect(dsn: str) -> psycopg.Connection:
    return psycopg.connect(
        dsn,
        connect_timeout=CONNECT_TIMEOUT,
        prepare_threshold=None,
        application_name="bandit-service migrate",
    )
