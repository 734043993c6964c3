"""What every command shares: its options, and one line on standard error for what goes wrong."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NoReturn

import psycopg
import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from bandit_service.addresses import check_postgres_dsn
from bandit_service.ledger import migrations
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.settings import Settings, check_variables, describe

# Wider than any table: what comes through a pipe is read by programs, which need every name whole and in one line.
_PIPE_WIDTH = 100_000
# What libpq says of a server that it does not trust.
_UNTRUSTED = re.compile(r"certificate verify failed|server certificate for|server does not support SSL")


def _checked_dsn(dsn: str) -> str:
    try:
        check_postgres_dsn(dsn.strip())
    except ValueError as error:
        fail(f"BANDIT_POSTGRES_DSN {error}")
    return dsn.strip()


Dsn = Annotated[
    str,
    typer.Option(
        "--postgres-dsn",
        envvar="BANDIT_POSTGRES_DSN",
        show_envvar=True,
        callback=_checked_dsn,
        help="Which Postgres.",
    ),
]


def output() -> Console:
    """Return standard output: words of people are shown as they are, and nothing is cut in a pipe."""
    return Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def end_in_one_line(name: str, command: Callable[[], object]) -> None:
    """Run a command in any surroundings: a pipe without a reader, a full disk, no standard output at all.

    Characters that a terminal's encoding lacks are written as escapes, where Python would end with an error.
    """
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
    except OSError as error:
        # What is still to be written would be tried again when the interpreter ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"{name}: {error.strerror or error}")


def _open_missing_streams() -> None:
    """Give a process that was started without one of the standard streams an empty one."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115 (as long as the process lives)
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def settings_or_exit(overrides: dict[str, object]) -> Settings:
    """Return the settings from the environment, with those replaced that are given."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        check_variables(os.environ)
        return Settings(**given)  # type: ignore[arg-type]  # the rest comes from the environment
    except ValidationError as error:
        fail(describe(error))
    except ValueError as error:
        fail(str(error))


def require_schema(current: str | None) -> None:
    """Refuse to go on with an older schema."""
    if not is_new_enough(current):
        fail(f"{schema_state(current)}: run `bandit-service migrate` first")


def is_new_enough(current: str | None) -> bool:
    """Return whether this version of the service can work on a schema of that revision."""
    # Revisions are numbers of four digits. A newer one is fine: migrations keep older versions of the service working.
    return current is not None and current >= migrations.head_revision()


def schema_state(current: str | None) -> str:
    """Say in words what an older schema is."""
    return "the database has no schema yet" if current is None else f"the schema is still at revision {current}"


async def with_pool[T](dsn: str, command: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    """Do work with a pool of one connection that carries the command's name."""
    async with make_pool(dsn, min_size=0, max_size=1, application_name=f"bandit-service {command}") as pool:
        return await work(pool)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what Postgres refuses into one line on standard error."""
    try:
        yield
    except (psycopg.Error, DBAPIError, PostgresUnavailableError) as error:
        fail(first_line(error))


def fail(reason: str) -> NoReturn:
    """Say why, and end with exit code 1."""
    typer.echo(f"bandit-service: {reason}", err=True)
    raise typer.Exit(1)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of Postgres says, with the option that it is about."""
    line = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).partition("\n")[0]
    return f"{line}; see sslrootcert and sslmode" if is_untrusted(error) else line


def is_untrusted(error: BaseException) -> bool:
    """Return whether Postgres was reached, and is not trusted: it has no TLS, or a certificate that is not accepted."""
    return _UNTRUSTED.search(str(error)) is not None
