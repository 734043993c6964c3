"""The command `bandit-service`: what it prints, and one line instead of a traceback for what goes wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from typer.testing import CliRunner, Result

from bandit_service.cli import app
from bandit_service.ledger import migrations
from bandit_service.settings import parse_signing_keys

AWAY = "postgresql://nobody@127.0.0.1:1/nothing"
COMMAND = [sys.executable, "-c", "from bandit_service.cli import main; main()"]

type Run = Callable[..., Result]


@pytest.fixture
def environment(redis_url: str, postgres_dsn: str, signing_key: str) -> dict[str, str | None]:
    return {
        "BANDIT_REDIS_URL": redis_url,
        "BANDIT_POSTGRES_DSN": postgres_dsn,
        "BANDIT_SIGNING_KEYS": signing_key,
    }


@pytest.fixture
def run(environment: dict[str, str | None]) -> Run:
    """Run the command in this process, with variables replaced, or taken away by None."""

    def run(*arguments: str, **variables: str | None) -> Result:
        return CliRunner().invoke(app, arguments, env={**environment, **variables}, prog_name="bandit-service")

    return run


def refusal(done: Result) -> str:
    """The one line a failing command prints."""
    assert done.exit_code == 1
    assert done.stderr.startswith("bandit-service: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_key_s_life(run: Run) -> None:
    key = run("keys", "create", "--name", "checkout", "--role", "writer", "--namespace", "shop").stdout.strip()
    assert key.startswith("bandit_")
    listed = run("keys", "list").stdout
    assert re.search(r"checkout\s+writer\s+shop", listed)
    assert key not in listed
    name = key.split("_")[1]
    assert run("keys", "revoke", name).stdout == f"revoked {name}\n"
    assert "no valid API key" in refusal(run("keys", "revoke", name))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--name", "x", "--role", "owner"], "--role must be reader, writer or admin"),
        (["--name", "x", "--role", "admin", "--namespace", "a.b"], "--namespace may hold"),
        (["--name", "", "--role", "admin"], "--name must be"),
        (["--name", "tab\tbed", "--role", "admin"], "--name must be"),
    ],
)
def test_wrong_keys_are_not_made(options: list[str], reason: str, run: Run) -> None:
    assert reason in refusal(run("keys", "create", *options))


def test_a_signing_key_is_one_the_service_accepts(run: Run) -> None:
    made = run("keys", "signing", "--number", "7", BANDIT_POSTGRES_DSN=None).stdout.strip()
    [(number, key)] = parse_signing_keys(made).items()
    assert number == 7
    assert len(key) == 32


def test_migrate_says_where_the_schema_is(run: Run, empty_postgres_dsn: str) -> None:
    said = f"the schema is at revision {migrations.head_revision()}"
    assert run("migrate", "--postgres-dsn", empty_postgres_dsn).stdout == f"{said}\n"
    assert run("migrate", "--postgres-dsn", empty_postgres_dsn).stdout == f"{said}, as before\n"


def test_who_waits_for_the_schema_is_let_go_when_it_is_there(run: Run, empty_postgres_dsn: str) -> None:
    waiting = ("wait-for-schema", "--postgres-dsn", empty_postgres_dsn, "--seconds")
    assert "after 0.2 s the database has no schema yet" in refusal(run(*waiting, "0.2"))
    later = threading.Timer(0.3, migrations.upgrade, [empty_postgres_dsn])
    later.start()
    assert run(*waiting, "20").stdout == f"the schema is at revision {migrations.head_revision()}\n"
    later.join()


def test_who_waits_for_the_schema_waits_for_postgres_too(run: Run) -> None:
    assert "Connection refused" in refusal(run("wait-for-schema", "--seconds", "0", BANDIT_POSTGRES_DSN=AWAY))


@pytest.mark.parametrize("arguments", [["migrate"], ["keys", "list"]])
def test_an_unreachable_postgres_is_one_line(arguments: list[str], run: Run) -> None:
    assert "Connection refused" in refusal(run(*arguments, BANDIT_POSTGRES_DSN=AWAY))


@pytest.mark.parametrize("arguments", [["serve"], ["keys", "list"]])
def test_missing_migrations_are_one_line(arguments: list[str], run: Run, empty_postgres_dsn: str) -> None:
    assert "run `bandit-service migrate` first" in refusal(run(*arguments, BANDIT_POSTGRES_DSN=empty_postgres_dsn))


@pytest.mark.parametrize("arguments", [["migrate"], ["serve"], ["wait-for-schema"], ["keys", "list"]])
def test_an_encoding_that_does_not_do_is_one_line(arguments: list[str], run: Run, odd_database: str) -> None:
    said = refusal(run(*arguments, BANDIT_POSTGRES_DSN=odd_database))
    assert "and the service needs UTF8" in said
    with psycopg.connect(odd_database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_signing_keys_are_rotated_as_operations_says(run: Run) -> None:
    said = " ".join(run("keys", "signing", "--help").stdout.split())
    assert "behind the old ones in every process first, then in front" in said


def test_missing_settings_are_one_line(run: Run) -> None:
    reason = refusal(run("serve", BANDIT_REDIS_URL=None, BANDIT_SIGNING_KEYS=None))
    assert "BANDIT_REDIS_URL is not set" in reason
    assert "bandit-service keys signing" in reason


def test_a_database_that_is_not_there_is_one_line(run: Run, postgres_dsn: str, redis_url: str) -> None:
    gone = f"{postgres_dsn}_that_is_not_there"
    assert "does not exist" in refusal(run("serve", BANDIT_POSTGRES_DSN=gone))
    elsewhere = f"{redis_url.rpartition('/')[0]}/999999"
    assert "BANDIT_REDIS_URL: Redis has no database of that number" in refusal(run("serve", BANDIT_REDIS_URL=elsewhere))


def test_migrate_waits_as_long_as_it_is_told(run: Run) -> None:
    began = time.monotonic()
    refusal(run("migrate", "--patience", "1", BANDIT_POSTGRES_DSN=AWAY))
    assert time.monotonic() - began >= 1


def test_words_of_people_are_shown_as_they_are(run: Run) -> None:
    name = "the [control] of a [/very] long name of a key, which nobody should cut"
    run("keys", "create", "--name", name, "--role", "reader")
    assert name in run("keys", "list").stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_in_any_encoding(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for arguments in (["--help"], ["doctor", "--help"]):
        done = subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_port_that_is_taken_is_one_line(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in refusal(run("serve", "--port", str(port)))


def test_the_openapi_document_needs_no_server(run: Run) -> None:
    done = run("openapi", BANDIT_REDIS_URL=None, BANDIT_POSTGRES_DSN=None, BANDIT_SIGNING_KEYS=None)
    assert json.loads(done.stdout)["paths"].keys() >= {"/select", "/reward", "/experiments"}


@contextmanager
def serving(environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that serves."""
    command = [*COMMAND, "serve", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_answer(process: subprocess.Popen[str], client: httpx.Client) -> httpx.Response:
    """Wait until a process that was just started answers."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return client.get("/health")
        except httpx.ConnectError:
            time.sleep(0.1)
    raise AssertionError("the process does not answer")


@pytest.mark.parametrize("postgres", ["there", "away"])
def test_serve_answers_until_it_is_told_to_stop(postgres: str, environment: dict[str, str]) -> None:
    """An unreachable Postgres keeps nobody from serving."""
    if postgres == "away":
        environment["BANDIT_POSTGRES_DSN"] = AWAY
    port = free_port()
    with serving(environment, port) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            response = first_answer(process, client)
        process.send_signal(signal.SIGTERM)
        logged, _ = process.communicate(timeout=30)
    assert response.json() == {"status": "alive"}
    assert "x-request-id" in response.headers
    assert "server" not in response.headers
    assert process.returncode == 0
    assert all(json.loads(line)["timestamp"] for line in logged.splitlines())
