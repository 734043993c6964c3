"""No secret of a real process is ever in its log, its answers or its metrics, whatever goes wrong."""

from __future__ import annotations

import asyncio
import base64
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import free_port
from bandit_local.servers.process import ChildProcess
from bandit_service.cli import app

if TYPE_CHECKING:
    from conftest import NewApiKey

SERVE = (sys.executable, "-c", "from bandit_service.cli import main; main()", "serve")


@dataclass
class Exposed:
    """A process that needs keys and logs everything, its stores, and all that it ever answered."""

    process: ChildProcess
    http: httpx.AsyncClient
    store: RedisServer
    admin_dsn: str
    role: str
    secrets: dict[str, str]
    answers: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> int:
        """Ask, and keep all of the answer."""
        with suppress(httpx.TransportError):
            answer = await self.http.request(method, path, json=body, headers=headers)
            self.answers.append(f"{answer.headers} {answer.text}")
            return answer.status_code
        return 0

    async def ask_everything(self) -> None:
        """Ask in every way that a client can go wrong in, with and without the key."""
        key = self.secrets["API key"]
        callers = ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}, {"X-Api-Key": key[:-1] + "!"})
        requests = [
            ("POST", "/select", {"experiment_id": "homepage"}),
            ("POST", "/reward", {"experiment_id": "homepage", "arm": "a", "reward": 1}),
            ("POST", "/reward", {"experiment_id": "homepage", "arm": "none", "reward": 7}),
            ("POST", "/select", {"experiment_id": "nowhere", "decision_id": "d1.forged"}),
            ("POST", "/activate", {"decision_id": "d1." + "A" * 60}),
            ("POST", "/experiments", {"experiment_id": "another", "arms": ["a"]}),
            ("POST", "/experiments", {"experiment_id": "another", "arms": ["a", "b"]}),
            ("GET", f"/experiments/homepage/posterior?api_key={key}", None),
            ("GET", "/experiments", None),
        ]
        await asyncio.gather(*(self.ask(*request, **caller) for caller in callers for request in requests))
        for path in ("/ready", "/metrics", "/openapi.json", "/nowhere"):
            await self.ask("GET", path)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + 30
        while not await holds():
            assert time.monotonic() < deadline, self.process.log_tail()
            await asyncio.sleep(0.05)

    async def is_ready(self) -> bool:
        return await self.ask("GET", "/ready") == 200

    async def lacks(self, part: str) -> bool:
        await self.ask("GET", "/ready")
        return part in self.answers[-1]

    async def selects(self) -> bool:
        return await self.ask("POST", "/select", {"experiment_id": "homepage"}, **self.key) == 200

    @property
    def key(self) -> dict[str, str]:
        return {"X-Api-Key": self.secrets["API key"]}

    def refuse_redis(self) -> None:
        """Change the password of Redis: what the process has is wrong from here on."""
        with redis.Redis.from_url(self.store.url) as client:
            client.config_set("requirepass", secrets.token_hex(8))
            client.client_kill_filter(_type="normal", skipme=True)

    def refuse_postgres(self) -> None:
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(self.role), sql.Literal("another"))
            connection.execute(change)
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (self.role,)
            )


@pytest.fixture
async def exposed(postgres_dsn: str, new_api_key: NewApiKey, tmp_path: Path) -> AsyncIterator[Exposed]:
    role, password = f"exposed_{secrets.token_hex(4)}", "pg-" + secrets.token_hex(16)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        create = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}")
        connection.execute(create.format(sql.Identifier(role), sql.Literal(password)))
    key, signing = await new_api_key("admin"), base64.b64encode(secrets.token_bytes(32)).decode()
    with RedisServer(tmp_path / "redis") as store:
        environment = {
            "BANDIT_REDIS_URL": store.url,
            "BANDIT_POSTGRES_DSN": make_conninfo(postgres_dsn, user=role, password=password),
            "BANDIT_SIGNING_KEYS": f"k1:{signing}",
            "BANDIT_AUTH_REQUIRED": "true",
            "BANDIT_LOG_LEVEL": "debug",
            "BANDIT_PORT": str(free_port()),
        }
        process = ChildProcess(SERVE, tmp_path / "log", environment=environment)
        hidden = {
            "Redis password": httpx.URL(store.url).password,
            "Postgres password": password,
            "signing key": signing,
            "signing key in hexadecimal": base64.b64decode(signing).hex(),
            "API key": key,
            "secret part of the API key": key.split("_", 2)[2],
        }
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['BANDIT_PORT']}", timeout=20) as http:
            try:
                yield Exposed(process, http, store, postgres_dsn, role, hidden)
            finally:
                process.kill()
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(role)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


async def test_no_secret_is_in_the_log_the_answers_or_the_metrics(exposed: Exposed, tmp_path: Path) -> None:
    await exposed.until(exposed.is_ready)
    made = {"experiment_id": "homepage", "arms": ["a", "b"]}
    assert await exposed.ask("POST", "/experiments", made, **exposed.key) == 201
    await exposed.until(exposed.selects)
    await exposed.ask_everything()
    await asyncio.to_thread(exposed.refuse_redis)
    await exposed.until(lambda: exposed.lacks("redis"))
    await exposed.ask_everything()
    await asyncio.to_thread(exposed.refuse_postgres)
    await exposed.until(lambda: exposed.lacks("postgres"))
    await exposed.ask_everything()
    exposed.store.kill()
    await exposed.ask_everything()

    log, answers = (tmp_path / "log").read_text(), "\n".join(exposed.answers)
    for happened in ("experiment_created", "spool_unavailable", "ledger_unavailable", "AuthenticationError"):
        assert happened in log, f"the test did not provoke {happened}"
    assert "bandit_request_seconds_bucket" in answers
    for name, secret in exposed.secrets.items():
        assert len(secret) > 8
        assert secret not in log, name
        assert secret not in answers, name


@pytest.mark.parametrize("command", [["doctor"], ["migrate"], ["keys", "list"]])
@pytest.mark.parametrize(
    "wrong",
    [
        {"BANDIT_REDIS_URL": "http://:{}@127.0.0.1"},
        {"BANDIT_REDIS_URL": "redis://:{}@127.0.0.1:port"},
        {"BANDIT_POSTGRES_DSN": "postgresql://u:{}@127.0.0.1:port/x"},
        {"BANDIT_POSTGRES_DSN": "host=127.0.0.1 password={} nonsense"},
        {"BANDIT_SIGNING_KEYS": "k1:{}"},
        {"BANDIT_SIGNING_KEYS": "{}"},
        {"BANDIT_PORT": "{}"},
    ],
    ids=lambda wrong: "".join(wrong.values()),
)
def test_commands_that_are_told_nonsense_do_not_repeat_it(command: list[str], wrong: dict[str, str]) -> None:
    secret = "s3cr3t-" + secrets.token_hex(8)
    environment = {
        "BANDIT_REDIS_URL": f"redis://:{secret}@127.0.0.1:1/0",
        "BANDIT_POSTGRES_DSN": f"postgresql://u:{secret}@127.0.0.1:1/x",
        "BANDIT_SIGNING_KEYS": "k1:" + base64.b64encode(bytes(range(128, 160))).decode(),
    } | {name: text.format(secret) for name, text in wrong.items()}
    done = CliRunner().invoke(app, command, env=environment)
    assert done.exit_code == 1
    assert secret not in done.output + str(done.exception)
