"""The command `bandit-service`: serve, migrate, and look after API keys."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn, cast

import psycopg
import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from bandit_service import logs, migrations
from bandit_service.auth import ALL_NAMESPACES, Role, new_key
from bandit_service.experiments.fields import NAMESPACE_PATTERN
from bandit_service.postgres_store.api_keys import ApiKeysRepository
from bandit_service.postgres_store.errors import PostgresUnavailableError
from bandit_service.postgres_store.pool import make_pool
from bandit_service.settings import Settings, describe

SHUTDOWN_SECONDS = 10

Dsn = Annotated[
    str, typer.Option("--postgres-dsn", envvar="BANDIT_POSTGRES_DSN", show_envvar=True, help="Which Postgres.")
]

app = typer.Typer(help="Decisions and rewards over HTTP.", no_args_is_help=True, pretty_exceptions_enable=False)
keys = typer.Typer(help="API keys, and the keys that sign decision ids.", no_args_is_help=True)
app.add_typer(keys, name="keys")


def main() -> None:
    """Run the command."""
    app()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Overrides BANDIT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides BANDIT_PORT; 0 takes a free one.")] = None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; settings come from BANDIT_… variables."""
    settings = _settings({"host": host, "port": port})
    logs.configure(settings.log_format, settings.log_level)
    _check_schema(settings.postgres_dsn.get_secret_value())
    listener = _listen(settings.host, settings.port)
    # Imported late: it is most of the start-up time, and no other command needs it.
    from bandit_service.app import create_app

    config = uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


@app.command()
def migrate(dsn: Dsn) -> None:
    """Bring the database's schema to the newest revision."""
    with _explained():
        before = migrations.current_revision(dsn)
        after = migrations.upgrade(dsn)
    typer.echo(f"the schema is at revision {after}" + (", as before" if before == after else ""))


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from bandit_service.app import create_app

    # Enough for the application to be built; it is not run.
    settings = _settings(
        {
            "redis_url": "redis://localhost",
            "postgres_dsn": "postgresql://localhost",
            "signing_keys": _new_signing_key(1),
        }
    )
    typer.echo(json.dumps(create_app(settings).openapi(), indent=2))


@keys.command()
def create(
    dsn: Dsn,
    name: Annotated[str, typer.Option(help="Who uses it; changes are recorded under this name.")],
    role: Annotated[str, typer.Option(help="reader, writer or admin; each includes the ones before.")],
    namespace: Annotated[str, typer.Option(help="One namespace, or * for all.")] = ALL_NAMESPACES,
) -> None:
    """Make an API key and print it, this once."""
    if role not in ("reader", "writer", "admin"):
        _fail("--role must be reader, writer or admin")
    if namespace != ALL_NAMESPACES and not re.fullmatch(NAMESPACE_PATTERN, namespace):
        _fail("--namespace may hold letters, digits, _ and -, or be * for all")
    if not 0 < len(name) <= 100 or not name.isprintable():
        _fail("--name must be 1 to 100 printable characters")
    text, key = new_key(name, cast("Role", role), namespace, secrets.token_bytes)
    _with_keys(dsn, lambda repository: repository.add(key))
    typer.echo(text)


@keys.command("list")
def list_keys(dsn: Dsn) -> None:
    """Show every API key there ever was."""
    table = Table("id", "name", "role", "namespace", "created", "revoked", box=None)
    for key in _with_keys(dsn, lambda repository: repository.all()):
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
        table.add_row(key.id, key.name, key.role, key.namespace, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    Console().print(table)


@keys.command()
def revoke(dsn: Dsn, key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Make an API key invalid; running processes notice within their refresh interval (30 s)."""
    if not _with_keys(dsn, lambda repository: repository.revoke(key_id)):
        _fail(f"there is no valid API key {key_id!r}")
    typer.echo(f"revoked {key_id}")


@keys.command()
def signing(number: Annotated[int, typer.Option(min=0, max=255, help="Its number; raise it to rotate.")] = 1) -> None:
    """Print a new key for BANDIT_SIGNING_KEYS; put it in front of the old ones, which stay valid."""
    typer.echo(_new_signing_key(number))


def _new_signing_key(number: int) -> str:
    return f"k{number}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _settings(overrides: dict[str, object]) -> Settings:
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # the rest comes from the environment
    except ValidationError as error:
        _fail(describe(error))


def _check_schema(dsn: str) -> None:
    """Refuse to run on an older schema. An unreachable Postgres is no reason: serving goes on without it."""
    try:
        current = migrations.current_revision(dsn)
    except (psycopg.OperationalError, DBAPIError):
        return
    _require_schema(current)


def _require_schema(current: str | None) -> None:
    # Revisions are numbers of four digits. A newer one is fine: migrations keep older versions of the service working.
    if current is None or current < migrations.head_revision():
        _fail(f"the schema is at revision {current}: run `bandit-service migrate` first")


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2_048)
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {error.strerror or error}")
    return listener


def _with_keys[T](dsn: str, work: Callable[[ApiKeysRepository], Awaitable[T]]) -> T:
    async def run() -> T:
        pool = make_pool(dsn, min_size=0, max_size=1, application_name="bandit-service keys")
        async with pool:
            return await work(ApiKeysRepository(pool))

    with _explained():
        _require_schema(migrations.current_revision(dsn))
        return asyncio.run(run())


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what Postgres refuses into one line on standard error."""
    try:
        yield
    except (psycopg.Error, DBAPIError, PostgresUnavailableError) as error:
        _fail(_first_line(error.orig if isinstance(error, DBAPIError) and error.orig else error))


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _fail(reason: str) -> NoReturn:
    typer.echo(f"bandit-service: {reason}", err=True)
    raise typer.Exit(1)
