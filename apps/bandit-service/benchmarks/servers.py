"""The servers of a run: real stores, the service as it is deployed, and the references, all on loopback."""

from __future__ import annotations

import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bandit_local.servers import PostgresServer, RedisServer, ServerError
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess
from bandit_local.stack import signing_key, wait_until_ready
from bandit_service.ledger import migrations

APP: Final = Path(__file__).parents[1]
_START_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, and its process."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Stores:
    """Redis and Postgres with its schema, and a folder for what else needs one."""

    redis: RedisServer
    postgres: PostgresServer
    data: Path

    @property
    def pids(self) -> dict[str, int]:
        return {"Redis": self.redis.pid, "Postgres": self.postgres.pid}

    @contextmanager
    def service(self, program: list[str | Path] | None = None) -> Iterator[Server]:
        """Run one replica; `program` runs something else in its place, told its settings in the same way."""
        port = free_port()
        environment = {
            "BANDIT_HOST": HOST,
            "BANDIT_PORT": str(port),
            "BANDIT_REDIS_URL": self.redis.url,
            "BANDIT_POSTGRES_DSN": self.postgres.dsn,
            "BANDIT_SIGNING_KEYS": signing_key(self.data / "secrets"),
            "PYTHONPATH": str(APP),
        }
        deployed: list[str | Path] = [Path(sysconfig.get_path("scripts")) / "bandit-service", "serve"]
        child = ChildProcess(program or deployed, self.data / f"service-{port}.log", environment=environment)
        try:
            url = f"http://{HOST}:{port}"
            wait_until_ready(child, url)
            yield Server(url, child.pid)
        finally:
            child.stop()


@contextmanager
def running_stores(data: Path) -> Iterator[Stores]:
    """Start Redis and Postgres as `make run` does, durable both, and bring the schema up to date."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(data / "redis"))
        postgres = stack.enter_context(PostgresServer(data / "postgres"))
        migrations.upgrade(postgres.dsn)
        yield Stores(redis, postgres, data)


@contextmanager
def running_reference(name: str, data: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a module of `references` under the server, and with the options, that the service itself uses."""
    port = free_port()
    options = ["--host", HOST, "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    quiet = ["--no-access-log", "--log-level", "warning", "--no-server-header"]
    application = ["--app-dir", str(APP), "--factory", f"benchmarks.references.{name}:create_app"]
    command = [sys.executable, "-m", "uvicorn", *options, *quiet, *application]
    child = ChildProcess(command, data / f"{name}.log", environment=environment)
    try:
        url = f"http://{HOST}:{port}"
        _wait_until_listening(child, url)
        yield Server(url, child.pid)
    finally:
        child.stop()


def _wait_until_listening(child: ChildProcess, url: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not _answers(url):
        if not child.running or time.monotonic() > deadline:
            raise ServerError(f"A reference did not start: {child.last_words()}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        httpx.post(f"{url}/select", json={"experiment_id": "bench"}, timeout=2.0).raise_for_status()
    except httpx.TransportError:
        return False
    return True
