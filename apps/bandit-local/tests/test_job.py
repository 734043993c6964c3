"""The whole path: real Redis, real Postgres, the real service, visitors over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bandit_local.servers.folder import command_line, read_pid
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess

type StartPython = Callable[..., ChildProcess]
type Eventually = Callable[[Callable[[], object]], None]

PROGRAM = "from bandit_local.cli import main; main()"
SOON = ["--min-decisions", "200", "--expected-loss", "0.05"]


@pytest.fixture
def port() -> int:
    return free_port()


def run_once(folder: Path, port: int) -> str:
    command = [sys.executable, "-c", PROGRAM, "run", "--once", "--port", str(port), *SOON]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


def servers(folder: Path) -> list[int]:
    files = [folder / ".local/redis/redis.pid", folder / ".local/postgres/cluster/postmaster.pid"]
    return [pid for file in files if (pid := read_pid(file)) is not None]


@pytest.fixture
def serving(
    tmp_path: Path, port: int, start_python: StartPython, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> ChildProcess:
    """A run that has announced its verdict and keeps serving."""
    monkeypatch.chdir(tmp_path)
    child = start_python(PROGRAM, "run", "--port", str(port), *SOON)
    eventually(lambda: not child.running or "Still serving" in child.log.read_text())
    assert child.running, child.log_tail()
    return child


def test_a_run_reaches_its_verdict_and_the_next_one_finds_what_it_left(tmp_path: Path, port: int) -> None:
    first = run_once(tmp_path, port)
    assert "item-3   3/201 = 1.49%" in first
    assert f"http://{HOST}:{port}/docs" in first
    assert "Experiment obd-women:" in first
    assert re.search(r"^Verdict \(winner item-\d+\): ", first, re.MULTILINE)
    assert "item-3 truly had the highest click rate, 1.49%" in first
    assert first.endswith("Stopped.\n")
    assert servers(tmp_path) == []
    assert "Experiment obd-women-2:" in run_once(tmp_path, port)


def test_it_keeps_serving_until_interrupted_and_stops_everything(
    serving: ChildProcess, tmp_path: Path, port: int
) -> None:
    with httpx.Client(base_url=f"http://{HOST}:{port}") as client:
        assert client.get("/health").is_success
        assert client.get("/experiments/obd-women").json()["status"] == "concluded"
        decision = client.post("/select", json={"experiment_id": "obd-women"}).json()
        assert decision["stratum"] == "concluded"
    pids = servers(tmp_path)
    assert len(pids) == 2
    os.kill(serving.pid, signal.SIGINT)
    assert serving.wait(30) == 0
    assert serving.log.read_text().endswith("Stopped.\n")
    assert not any(map(command_line, pids))
    assert not (tmp_path / ".local/postgres/cluster/postmaster.pid").exists()


def test_a_run_that_was_killed_does_not_stand_in_the_way(serving: ChildProcess, tmp_path: Path) -> None:
    serving.kill()
    assert "Experiment obd-women-2:" in run_once(tmp_path, free_port())


def test_nothing_but_the_folder_of_the_run_is_written_and_its_secrets_are_private(
    serving: ChildProcess, tmp_path: Path
) -> None:
    assert serving.running
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {".local"}
    for secret in (".local/secrets/signing_key", ".local/redis/password", ".local/postgres/password"):
        assert (tmp_path / secret).stat().st_mode & 0o077 == 0
        assert (tmp_path / secret).read_text() not in json.dumps(serving.log.read_text())
