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
from sqlalchemy.exc import OperationalError

from bandit_service.ledger.encoding import check_encoding
from bandit_service.ledger.errors import PostgresUnavailableError

CONNECT_TIMEOUT = 5
_BUSY = (
    "SELECT format('%s (pid %s, for %s s)', coalesce(nullif(application_name, ''), 'a session'), pid,"
    " round(extract(epoch FROM now() - xact_start)))"
    " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    " ORDER BY xact_start LIMIT 1"
)


class SchemaBusyError(PostgresUnavailableError):
    """Another session kept a lock that a migration needs; nothing was changed."""


def upgrade(dsn: str, revision: str = "head") -> str:
    """Bring the database to a revision and return that. Processes that do so at once wait for each other.

    Raises:
        SchemaBusyError: a table is in use by a transaction that does not end.
        WrongEncodingError: the database cannot hold every text.
        psycopg.Error, sqlalchemy.exc.SQLAlchemyError: Postgres is away or refuses; then nothing was changed.
    """
    with _configured() as config, _connected(dsn) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise SchemaBusyError(_who_is_busy(dsn)) from error
            raise
    return head_revision() if revision == "head" else revision


def _who_is_busy(dsn: str) -> str:
    with _connect(dsn) as connection:
        [longest] = connection.execute(_BUSY).fetchone() or ["another session"]
    return (
        "the schema was left as it is, because a table to be changed is in use; the longest transaction is that of"
        f" {longest}: let it finish, or end it, and migrate again"
    )


def current_revision(dsn: str) -> str | None:
    """Return the revision a database is at; None before the first migration.

    Raises:
        WrongEncodingError: the database cannot hold every text.
    """
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
    connection = psycopg.connect(
        dsn,
        connect_timeout=CONNECT_TIMEOUT,
        prepare_threshold=None,
        application_name="bandit-service migrate",
    )
    try:
        check_encoding(connection)
    except BaseException:
        connection.close()
        raise
    return connection
