"""The pipeline on one machine: it starts, answers, and leaves nothing behind."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bandit_local.servers.folder import command_line, read_pid
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess

type StartPython = Callable[..., ChildProcess]

PROGRAM = "from bandit_local.cli import main; main()"
PID_FILES = ("redis/redis.pid", "postgres/cluster/postmaster.pid", "s3/s3.pid")


@pytest.mark.verify
def test_the_ui_shows_the_assets_and_ctrl_c_ends_everything(
    tmp_path: Path, start_python: StartPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ui = free_port()
    child = start_python(PROGRAM, "pipeline", "--port", str(free_port()), "--ui-port", str(ui))
    wait_until(lambda: not child.running or "Dagster on" in child.log.read_text())
    assert child.running, child.log_tail()
    wait_until(lambda: assets(ui) == 11)
    servers = [pid for file in PID_FILES if (pid := read_pid(tmp_path / ".local" / file)) is not None]
    assert len(servers) == 3

    os.kill(child.pid, signal.SIGINT)
    assert child.wait(60) == 0
    assert child.log.read_text().endswith("Stopped.\n")
    assert not any(map(command_line, servers))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{HOST}:{ui}/server_info")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".local"]


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait up to five minutes: Dagster is four processes, each of which loads for seconds."""
    deadline = time.monotonic() + 300.0
    while not holds():
        assert time.monotonic() < deadline, "it did not become true within five minutes"
        time.sleep(0.2)


def assets(ui_port: int) -> int:
    question = {"query": "{ assetNodes { groupName } }"}
    answer = httpx.post(f"http://{HOST}:{ui_port}/graphql", json=question, timeout=60.0)
    return len(answer.json()["data"]["assetNodes"])


def test_a_port_that_is_taken_is_said_before_anything_starts(
    tmp_path: Path, start_python: StartPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = start_python(PROGRAM, "pipeline", "--ui-port", str(port))
        assert child.wait(60) == 1
    assert f"Port {port} is taken" in child.log_tail()
    assert not (tmp_path / ".local").exists()
