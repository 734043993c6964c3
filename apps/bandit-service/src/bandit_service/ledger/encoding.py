"""A database has to hold every text: names, contexts and reasons come in all letters."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection, Connection

from bandit_service.ledger.errors import PostgresUnavailableError


class WrongEncodingError(PostgresUnavailableError):
    """Postgres answers, but the database cannot hold every text."""


def check_encoding(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """Return if the database of a connection is in UTF8; raise WrongEncodingError if it is not."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise WrongEncodingError(f"the encoding of the database is {encoding}, and the service needs UTF8")
