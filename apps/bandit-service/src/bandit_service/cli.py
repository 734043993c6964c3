"""The command `bandit-service`: serve, migrate, and look after API keys."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import re
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Annotated, cast

import psycopg
import typer
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from bandit_core.rules.names import NAMESPACE
from bandit_service.domain.api_key import ALL_NAMESPACES, Role, new_key
from bandit_service.http import logs
from bandit_service.ledger import migrations
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.encoding import WrongEncodingError
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.mirror.inspection import never_works
from bandit_service.operations.commands import app as maintenance
from bandit_service.operations.terminal import (
    Dsn,
    end_in_one_line,
    explained,
    fail,
    first_line,
    is_new_enough,
    is_untrusted,
    output,
    require_schema,
    schema_state,
    settings_or_exit,
    with_pool,
)

# Requests make many objects and hardly any cycles.
COLLECTION_THRESHOLDS = (100_000, 50, 100)
_CHECK_EVERY = 2.0
# What Postgres and PgBouncer say of a database that is not there. A refused connection has no error code.
_NO_DATABASE = re.compile(r'database "[^"]*" does not exist|no such database')

app = typer.Typer(help="Decisions and rewards over HTTP.", no_args_is_help=True, pretty_exceptions_enable=False)
keys = typer.Typer(help="API keys, and the keys that sign decision ids.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(maintenance)


def main() -> None:
    """Run the command."""
    end_in_one_line("bandit-service", app)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Overrides BANDIT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides BANDIT_PORT; 0 takes a free one.")] = None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; settings come from BANDIT_… variables."""
    settings = settings_or_exit({"host": host, "port": port})
    _check_schema(settings.postgres_dsn.get_secret_value())
    if (reason := never_works(settings.redis_url.get_secret_value())) is not None:
        fail(f"BANDIT_REDIS_URL: {reason}")
    bound = _bound(settings.host, settings.port)
    logs.configure(settings.log_format, settings.log_level)
    # Imported late: it is most of the start-up time, and no other command needs it.
    from bandit_service.app import create_app
    from bandit_service.http.http_server import HttpServer

    application = create_app(settings)
    server = HttpServer(application, settings, application.metrics)
    # uvicorn handles these while it runs, then raises them again: a stop that went well shall not look like a crash.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    _freeze_loaded_objects()
    server.run(sockets=[bound])


def _freeze_loaded_objects() -> None:
    """Keep the modules out of garbage collection: walking them stops the event loop for a tenth of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


@app.command()
def migrate(
    dsn: Dsn,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for a Postgres that is away or busy.")] = 0.0,
) -> None:
    """Bring the database's schema to the newest revision."""
    deadline = time.monotonic() + patience
    with explained():
        while True:
            try:
                before = migrations.current_revision(dsn)
                after = migrations.upgrade(dsn)
                break
            except WrongEncodingError:
                raise
            except (psycopg.OperationalError, DBAPIError, PostgresUnavailableError) as error:
                if time.monotonic() >= deadline or is_untrusted(error):
                    raise
            time.sleep(min(_CHECK_EVERY, max(0.0, deadline - time.monotonic())))
    typer.echo(f"the schema is at revision {after}" + (", as before" if before == after else ""))


@app.command("wait-for-schema")
def wait_for_schema(dsn: Dsn, seconds: Annotated[float, typer.Option(min=0, help="How long at most.")] = 600.0) -> None:
    """Wait until the schema is as new as this version needs it; end with exit code 1 if it does not become so."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            current, reason = migrations.current_revision(dsn), ""
        except WrongEncodingError as error:
            fail(str(error))
        except (psycopg.OperationalError, DBAPIError) as error:
            if is_untrusted(error):
                fail(f"BANDIT_POSTGRES_DSN: {first_line(error)}")
            current, reason = None, first_line(error)
        if is_new_enough(current):
            typer.echo(f"the schema is at revision {current}")
            return
        if time.monotonic() >= deadline:
            fail(reason or f"after {seconds:g} s {schema_state(current)}: run `bandit-service migrate`")
        time.sleep(min(_CHECK_EVERY, max(0.0, deadline - time.monotonic())))


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from bandit_service.app import create_app

    # Enough for the application to be built; it is not run.
    settings = settings_or_exit(
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
        fail("--role must be reader, writer or admin")
    if namespace != ALL_NAMESPACES and not re.fullmatch(NAMESPACE.pattern, namespace):
        fail("--namespace may hold letters, digits, _ and -, or be * for all")
    if not 0 < len(name) <= 100 or not name.isprintable():
        fail("--name must be 1 to 100 printable characters")
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
    output().print(table)


@keys.command()
def revoke(dsn: Dsn, key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Make an API key invalid; running processes notice within their refresh interval (30 s)."""
    if not _with_keys(dsn, lambda repository: repository.revoke(key_id)):
        fail(f"there is no valid API key {key_id!r}")
    typer.echo(f"revoked {key_id}")


@keys.command()
def signing(number: Annotated[int, typer.Option(min=0, max=255, help="Its number; raise it to rotate.")] = 1) -> None:
    """Print a new key for BANDIT_SIGNING_KEYS.

    To rotate, put it behind the old ones in every process first, then in front of them: see docs/operations.md.
    """
    typer.echo(_new_signing_key(number))


def _new_signing_key(number: int) -> str:
    return f"k{number}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _check_schema(dsn: str) -> None:
    """Refuse to run on an older schema. An unreachable Postgres is no reason: serving goes on without it."""
    try:
        current = migrations.current_revision(dsn)
    except WrongEncodingError as error:
        fail(str(error))
    except (psycopg.OperationalError, DBAPIError) as error:
        if _NO_DATABASE.search(str(error)) or is_untrusted(error):
            fail(f"BANDIT_POSTGRES_DSN: {first_line(error)}")
        return
    require_schema(current)


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that has the port, though no client can connect before the service listens on it."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with ExitStack() as undo:
            bound = undo.enter_context(socket.socket(family, kind))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            undo.pop_all()
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror or error}")
    return bound


def _with_keys[T](dsn: str, work: Callable[[ApiKeysRepository], Awaitable[T]]) -> T:
    async def run() -> T:
        return await with_pool(dsn, "keys", lambda pool: work(ApiKeysRepository(pool)))

    with explained():
        require_schema(migrations.current_revision(dsn))
        return asyncio.run(run())
