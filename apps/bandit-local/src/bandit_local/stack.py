"""Everything that has to run before a visitor can come: Valkey, Postgres, its schema, the service."""

import base64
import contextlib
import json
import secrets
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis
from alembic.util import CommandError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.exc import SQLAlchemyError

from bandit_local.errors import LocalError
from bandit_local.options import Options
from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.servers.folder import private_secret
from bandit_local.servers.local_server import HOST, port_is_free
from bandit_local.servers.process import ChildProcess
from bandit_sdk import AwayError, Client, Retries
from bandit_sdk.requests import Call
from bandit_service.addresses import check_postgres_dsn, check_redis_url
from bandit_service.ledger import migrations
from bandit_service.ledger.errors import PostgresUnavailableError

CHECK_TIMEOUT = 5
READY_TIMEOUT = 60.0
DRAIN_TIMEOUT = 30.0
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Stack:
    """A service that answers, and where its parts are."""

    url: str
    store: str
    postgres_address: str
    service: ChildProcess
    postgres_dsn: str = field(repr=False)

    def check(self) -> None:
        """LocalError when the service has ended."""
        if not self.service.running:
            raise LocalError(f"bandit-service ended: {last_event(self.service)}")


@contextmanager
def running_stack(options: Options) -> Iterator[Stack]:
    """Start what is missing and stop it again in the opposite order: the service drains before its stores go."""
    if not port_is_free(options.port):
        raise LocalError(f'Port {options.port} is taken by another program: choose one with ARGS="--port N".')
    options.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        redis_url = options.redis_url or stack.enter_context(RedisServer(options.data / "redis")).url
        store = f"{'Redis protocol' if options.redis_url else RedisServer.name} on {check_redis(redis_url)}"
        dsn = options.postgres_dsn or stack.enter_context(PostgresServer(options.data / "postgres")).dsn
        postgres_address = check_postgres(dsn)
        migrate(dsn)
        service = start_service(options, redis_url, dsn)
        stack.callback(service.stop, DRAIN_TIMEOUT)
        url = f"http://{HOST}:{options.port}"
        wait_until_ready(service, url)
        yield Stack(url, store, postgres_address, service, dsn)


def check_redis(url: str) -> str:
    """Return the address of a server that answers in the Redis protocol; LocalError otherwise."""
    try:
        check_redis_url(url)
    except ValueError as error:
        raise LocalError(f"The URL of Redis {error}.") from None
    try:
        with redis.Redis.from_url(url, socket_timeout=CHECK_TIMEOUT, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()
            arguments = client.connection_pool.connection_kwargs
            return f"{arguments.get('host', 'localhost')}:{arguments.get('port', 6379)}"
    except redis.RedisError as error:
        raise LocalError(f"Redis does not answer: {error}") from None


def check_postgres(dsn: str) -> str:
    """Return the address of a Postgres that answers; LocalError otherwise."""
    try:
        check_postgres_dsn(dsn)
    except ValueError as error:
        raise LocalError(f"The connection string of Postgres {error}.") from None
    try:
        with psycopg.connect(dsn, connect_timeout=CHECK_TIMEOUT) as connection:
            return f"{connection.info.host}:{connection.info.port}"
    except psycopg.Error as error:
        raise LocalError(f"Postgres does not answer: {' '.join(str(error).split())}") from None


def migrate(dsn: str) -> None:
    """Bring the schema up to date; LocalError says why that is not possible."""
    try:
        migrations.upgrade(dsn)
    except (psycopg.Error, SQLAlchemyError, CommandError, PostgresUnavailableError) as error:
        reason = str(error).partition("\n")[0]
        raise LocalError(f"The schema in Postgres cannot be brought up to date: {reason}") from None


def start_service(options: Options, redis_url: str, dsn: str) -> ChildProcess:
    """Start bandit-service on loopback: the same program, told the same way, as in a cluster."""
    return ChildProcess(
        [Path(sysconfig.get_path("scripts")) / "bandit-service", "serve"],
        options.data / "bandit-service.log",
        environment={
            "BANDIT_HOST": HOST,
            "BANDIT_PORT": str(options.port),
            "BANDIT_REDIS_URL": redis_url,
            "BANDIT_POSTGRES_DSN": dsn,
            "BANDIT_SIGNING_KEYS": signing_key(options.data / "secrets"),
        },
    )


def signing_key(folder: Path) -> str:
    """Return the key that signs decision ids, made on first use: decisions of an earlier run stay valid."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return private_secret(
        folder / "signing_key", lambda: f"k1:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
    )


def wait_until_ready(service: ChildProcess, url: str) -> None:
    """Wait until the service says it can serve; LocalError when it ends or takes longer than a minute."""
    deadline = time.monotonic() + READY_TIMEOUT
    with Client(url, timeout=2.0, retries=Retries(attempts=1)) as client:
        while not _is_ready(client):
            if not service.running:
                raise LocalError(f"bandit-service did not start: {last_event(service)}")
            if time.monotonic() > deadline:
                raise LocalError(f"bandit-service was not ready within {READY_TIMEOUT:g} s; see {service.log}.")
            time.sleep(0.05)


def last_event(service: ChildProcess) -> str:
    """Return what the service wrote last, which may be a structured log line, and where to read more."""
    words = service.last_words()
    with contextlib.suppress(ValueError, TypeError, KeyError):  # it may be a plain sentence already
        words = json.loads(words)["event"]
    return f"{words} (see {service.log})"


def _is_ready(client: Client) -> bool:
    try:
        return bool(client.send(Call("GET", "/ready", bytes)))
    except AwayError:
        return False
