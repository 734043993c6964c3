"""The database that bandit-service keeps events, snapshots and definitions in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg
import polars as pl
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from bandit_pipeline.errors import PipelineError

CONNECT_TIMEOUT = 5

type Row = dict[str, Any]
type Connection = psycopg.Connection[Row]


class Postgres(dg.ConfigurableResource["Postgres"]):
    """Connections of one transaction each, at one point in time: what is read in it belongs together."""

    dsn: str

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection; what was done in it is kept as a whole or, after an exception, not at all.

        Raises PipelineError when Postgres does not answer or lacks what a statement needs.
        """
        dsn = _checked(self.dsn)
        try:
            with psycopg.connect(
                dsn,
                connect_timeout=CONNECT_TIMEOUT,
                row_factory=dict_row,
                prepare_threshold=None,
                application_name="bandit-pipeline",
            ) as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                yield connection
        except psycopg.errors.UndefinedTable as error:
            raise PipelineError(
                f"{_line(error)}: bring the schema up to date with `bandit-service migrate`."
            ) from error
        except psycopg.Error as error:
            raise PipelineError(f"Postgres does not do its part ({_line(error)}); see BANDIT_POSTGRES_DSN.") from error


def fetch(connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
    """Return all rows of a statement that was written by us, not put together from data."""
    return connection.execute(statement.encode(), parameters).fetchall()


def fetch_frame(
    connection: Connection, statement: str, schema: Mapping[str, pl.DataType], parameters: Mapping[str, Any]
) -> pl.DataFrame:
    """Return all rows of a statement as a frame of that schema."""
    return pl.DataFrame(fetch(connection, statement, parameters), schema=dict(schema), orient="row")


def _checked(dsn: str) -> str:
    """Return a connection string that libpq reads as it was meant, without the line break at the end of a file.

    What is wrong with one is not shown: libpq quotes the part that it cannot read, which may be of the password.
    """
    with suppress(psycopg.ProgrammingError):
        parts = conninfo_to_dict(dsn.strip())
        places = [str(parts.get(name, "")) for name in ("host", "hostaddr", "port", "dbname")]
        if parts and "@" not in "".join(places) and not places[2].replace(",", "").strip("0123456789"):
            return dsn.strip()
    raise PipelineError(
        "BANDIT_POSTGRES_DSN must be a connection string such as postgresql://user@localhost:5432/bandit; a password "
        "that holds / # ? @ or % needs them percent-encoded."
    )


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
