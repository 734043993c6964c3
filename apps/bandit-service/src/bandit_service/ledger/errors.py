"""What can go wrong between this process and Postgres."""

from __future__ import annotations


class PostgresUnavailableError(Exception):
    """Postgres could not be reached, did not answer in time, or cannot take the statement in its present state."""


class MissingSchemaError(PostgresUnavailableError):
    """Postgres answers, but the migrations have not been applied."""


class PostgresFullError(PostgresUnavailableError):
    """Postgres answers, but its disk has no room for what was to be written."""
