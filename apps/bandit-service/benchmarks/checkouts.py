"""A checkout of the repository with a service and stores of its own, driven by what any version of it understands."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import httpx
import msgspec
import psycopg

from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess
from bandit_local.stack import signing_key, wait_until_ready
from benchmarks.contextual import Shape, teach
from benchmarks.load.traffic import LoadError
from benchmarks.processes import processor_seconds

_AT_ONCE: Final = 1_000
_JSON: Final = {"Content-Type": "application/json"}
_FIRST_WEIGHTS_SECONDS: Final = 30.0
# A process that drains uses most of a core; one that does not, a few percent.
_QUIET: Final = 0.1
_WINDOW_SECONDS: Final = 0.5
_QUIET_WINDOWS: Final = 2
_QUIET_WITHIN: Final = 120.0


@dataclass(frozen=True, slots=True)
class Checkout:
    """A running service of one checkout, and its stores."""

    name: str
    url: str
    pids: dict[str, int]
    client: httpx.Client
    postgres: psycopg.Connection

    def create(self, names: Sequence[str]) -> None:
        """Create experiments, and wait until decisions for the last one are served and recorded."""
        for name in names:
            arms = [f"arm-{index}" for index in range(4)]
            self._ask("/experiments", {"experiment_id": name, "arms": arms, "guardrails": {"preset": "neutral"}})
        deadline = time.monotonic() + _FIRST_WEIGHTS_SECONDS
        while not all(self._serves(name) for name in names[-1:]):
            if time.monotonic() > deadline:
                raise LoadError(f"{self.name} does not record decisions for {names[-1]}")
            time.sleep(0.1)

    def teach(self, shapes: Iterable[Shape]) -> None:
        """Create contextual experiments, and wait until decisions are drawn from what they have learnt."""
        teach(self._ask, shapes)
        self.rest()

    def issue(self, names: Sequence[str], count: int) -> list[str]:
        """Return that many new decisions, spread evenly over experiments; each may be rewarded once."""
        ids: list[str] = []
        while len(ids) < count:
            numbers = range(len(ids), min(count, len(ids) + _AT_ONCE))
            items = [{"experiment_id": names[number % len(names)]} for number in numbers]
            ids += [item["result"]["decision_id"] for item in self._ask("/select/batch", {"items": items})["items"]]
        return ids

    def rest(self) -> None:
        """Wait until nothing is being done that somebody asked for: events are drained, weights computed.

        Raises:
            LoadError: that takes longer than two minutes.
        """
        started, quiet = time.monotonic(), 0
        while quiet < _QUIET_WINDOWS:
            if time.monotonic() - started > _QUIET_WITHIN:
                raise LoadError(f"{self.name} does not come to rest")
            used = sum(self.used_a_second(_WINDOW_SECONDS).values())
            quiet = quiet + 1 if used < _QUIET else 0

    def used(self) -> dict[str, float]:
        """Return the processor seconds that each part has used."""
        return processor_seconds(self.pids)

    def used_a_second(self, seconds: float) -> dict[str, float]:
        """Return the share of a processor that each part uses for a while from now."""
        before, started = self.used(), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - started
        return {part: (after - before[part]) / elapsed for part, after in self.used().items()}

    def events(self) -> int:
        """Return how many events Postgres has."""
        row = self.postgres.execute("SELECT count(*) FROM bandit_events").fetchone()
        return int(row[0]) if row else 0

    def _serves(self, name: str) -> bool:
        try:
            return bool(self._ask("/select", {"experiment_id": name})["recorded"])
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise
            return False

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post(path, content=msgspec.json.encode(body), headers=_JSON).raise_for_status()
        return cast("dict[str, Any]", msgspec.json.decode(answer.content))


@contextmanager
def running_checkout(name: str, place: Path, data: Path) -> Iterator[Checkout]:
    """Run the service of a checkout from its own environment, on stores of its own, durable both."""
    data.mkdir()
    program = place / ".venv" / "bin" / "bandit-service"
    if not program.exists():
        raise LoadError(f"{place} has no environment: run make setup there")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(data / "redis"))
        postgres = stack.enter_context(PostgresServer(data / "postgres"))
        port = free_port()
        environment = {
            "BANDIT_HOST": HOST,
            "BANDIT_PORT": str(port),
            "BANDIT_REDIS_URL": redis.url,
            "BANDIT_POSTGRES_DSN": postgres.dsn,
            "BANDIT_SIGNING_KEYS": signing_key(data / "secrets"),
        }
        subprocess.run(  # noqa: S603 - the checkout's own program, no shell
            [program, "migrate"], env=environment, check=True, capture_output=True
        )
        service = ChildProcess([program, "serve"], data / "service.log", environment=environment)
        stack.callback(service.stop)
        url = f"http://{HOST}:{port}"
        wait_until_ready(service, url)
        yield Checkout(
            name,
            url,
            {"service": service.pid, "Redis": redis.pid, "Postgres": postgres.pid},
            stack.enter_context(httpx.Client(base_url=url, timeout=60.0)),
            stack.enter_context(psycopg.connect(postgres.dsn, autocommit=True)),
        )
