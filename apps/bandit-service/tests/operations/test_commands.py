"""The commands of maintenance: what they print, and one line for what goes wrong."""

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from bandit_service.cli import app
from bandit_service.operations import commands

type Run = Callable[..., Result]

INSERT = (
    "INSERT INTO bandit_events"
    " (experiment_id, decision_id, kind, decision_time, event_time, batch, ord, arm_index, stratum, counted)"
    " SELECT 'homepage', 'd' || number, 'decision', %(at)s, %(at)s, 1, number, 0, 'bandit', false"
    " FROM generate_series(1, 3) AS number"
)


@pytest.fixture
def run(redis_url: str, postgres_dsn: str, signing_key: str) -> Run:
    """Run the command in this process."""
    environment = {
        "BANDIT_REDIS_URL": redis_url,
        "BANDIT_POSTGRES_DSN": postgres_dsn,
        "BANDIT_SIGNING_KEYS": signing_key,
        "BANDIT_EXPORT_FOLDER": None,
        "COLUMNS": "200",
    }

    def run(*arguments: str, stdin: str | bytes | None = None, **variables: str) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin, env={**environment, **variables})

    return run


def test_partitions_are_made_once(run: Run, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(INSERT, {"at": datetime.now(UTC)})
    first = run("partitions")
    assert first.exit_code == 0
    assert first.stdout.count("created") == 8
    assert "3 events moved" in first.stdout
    assert run("partitions").stdout == "all partitions are there\n"


def test_retain_exports_what_is_old(run: Run, postgres_dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(INSERT, {"at": datetime(2020, 1, 1, tzinfo=UTC)})
        connection.execute("INSERT INTO open_buckets VALUES ('homepage', '2020-01-01', 0, 3)")
    needed = run("retain", "--events-days", "30", "--export-to", str(tmp_path))
    assert needed.stdout.splitlines() == [
        "bandit_events_default: kept, because of decisions whose window has not been closed (homepage)",
        "refused_events: 0 rows taken out",
    ]
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("DELETE FROM open_buckets")
    done = run("retain", "--events-days", "30", "--export-to", str(tmp_path))
    assert done.stdout.splitlines()[0] == "bandit_events_default: 3 rows taken out"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["retain", "--without-export"], "nothing to do"),
        (["retain", "--events-days", "30"], "say either --export-to FOLDER or --without-export"),
        (["retain", "--snapshots-days", "1", "--export-to", "/not/there"], "the export cannot be written"),
        (["erase-unit", "shop", "alice"], "there is no namespace 'shop'"),
    ],
)
def test_what_goes_wrong_is_one_line(run: Run, arguments: list[str], refusal: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"bandit-service: {refusal}")
    assert done.stderr.count("\n") == 1


def test_units_are_erased_by_name_or_from_standard_input(run: Run, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("INSERT INTO namespaces VALUES ('default', 'sixteen bytes it')")
    sentence = "erased from 0 events and 0 exposures in 0 experiments\n"
    assert run("erase-unit", "default", "alice", "bob", "--failover-wait", "0").stdout == sentence
    assert run("erase-unit", "default", "-", "--failover-wait", "0.1", stdin="alice\nbob\n").stdout == sentence
    refused = run("erase-unit", "default", "-", stdin=b"stra\xdfe\n")
    assert (refused.exit_code, "is not UTF-8" in refused.stderr) == (1, True)


def test_units_as_windows_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte order mark would be part of the first name: that unit would stay, and the command say nothing."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfalice\r\nbob\nstra\xc3\x9fe")))
    assert commands._lines_of_input() == ["alice", "bob", "straße"]


def test_the_doctor_shows_a_table_and_fails_only_if_something_is_wrong(run: Run, tmp_path: Path) -> None:
    run("partitions")
    done = run("doctor", "--export-to", str(tmp_path))
    assert done.exit_code == 0
    assert "Redis eviction" in done.stdout
    started = time.monotonic()
    away = run("doctor", BANDIT_REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert time.monotonic() - started < 10
    assert away.exit_code == 1
    assert "check BANDIT_REDIS_URL" in away.stdout
    assert "hunter2" not in away.stdout + away.stderr
