"""The whole path: real Redis, real Postgres, the real service, visitors over HTTP."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Run:
    """A run that has ended: its folder and what it said."""

    folder: Path
    output: str


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A first run in an empty folder, with --once."""
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-c", PROGRAM, "run", "--once", "--port", str(free_port()), *SOON]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return Run(folder, result.stdout)


@pytest.fixture
def serve(
    first: Run, start_python: StartPython, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], ChildProcess]:
    """Start a run in the folder of the first one and wait until it has announced its verdict and keeps serving."""
    monkeypatch.chdir(first.folder)

    def start(port: int) -> ChildProcess:
        child = start_python(PROGRAM, "run", "--port", str(port), *SOON)
        eventually(lambda: not child.running or "Still serving" in child.log.read_text())
        assert child.running, child.log_tail()
        return child

    return start


def servers(folder: Path) -> list[int]:
    files = [folder / ".local/redis/redis.pid", folder / ".local/postgres/cluster/postmaster.pid"]
    return [pid for file in files if (pid := read_pid(file)) is not None]


def test_a_run_says_what_it_does_and_reaches_its_verdict(first: Run) -> None:
    assert "item-3   3/201 = 1.49%" in first.output
    assert re.search(r"http://127\.0\.0\.1:\d+/docs, metrics http://127\.0\.0\.1:\d+/metrics", first.output)
    assert "Experiment obd-women:" in first.output
    assert re.search(r"^Verdict \(winner item-\d+\): ", first.output, re.MULTILINE)
    assert "item-3 truly had the highest click rate, 1.49%" in first.output
    assert first.output.endswith("Stopped.\n")


def test_a_run_leaves_nothing_running_and_writes_to_its_folder_only(first: Run) -> None:
    assert servers(first.folder) == []
    assert [path.name for path in first.folder.iterdir()] == [".local"]


@pytest.mark.parametrize("secret", ["secrets/signing_key", "redis/password", "postgres/password"])
def test_secrets_are_readable_by_their_owner_only_and_never_printed(first: Run, secret: str) -> None:
    file = first.folder / ".local" / secret
    assert file.stat().st_mode & 0o077 == 0
    assert file.read_text() not in first.output


def test_data_survives_a_run_that_is_killed_and_ctrl_c_ends_the_next_one_cleanly(
    first: Run, serve: Callable[[int], ChildProcess]
) -> None:
    killed = serve(free_port())
    assert "Experiment obd-women-2:" in killed.log.read_text()
    killed.kill()

    port = free_port()
    run = serve(port)
    assert "Experiment obd-women-3:" in run.log.read_text()
    with httpx.Client(base_url=f"http://{HOST}:{port}") as client:
        for name in ("obd-women", "obd-women-2", "obd-women-3"):
            assert client.get(f"/experiments/{name}").json()["status"] == "concluded"
        assert client.post("/select", json={"experiment_id": "obd-women"}).json()["stratum"] == "concluded"
    pids = servers(first.folder)
    assert len(pids) == 2

    os.kill(run.pid, signal.SIGINT)
    assert run.wait(30) == 0
    assert run.log.read_text().endswith("Stopped.\n")
    assert not any(map(command_line, pids))
