"""Servers that fork with a client and a learner in use: 10,000 decisions, and every process gets its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bandit_local.servers.local_server import HOST, free_port
from bandit_local.servers.process import ChildProcess

if TYPE_CHECKING:
    from conftest import NewExperiment, Service

HERE = Path(__file__).parent
WORKERS = 4
# Ten decisions each, in each of four ways.
CALLS = 250
START_SECONDS = 120.0

type Ask = Callable[[int], dict[str, Any]]


@pytest.fixture
def environment(service: Service, new_experiment: NewExperiment) -> dict[str, str]:
    return {
        "BANDIT_URL": service.url,
        "BANDIT_API_KEY": service.keys["admin"],
        "PREFORK_EXPERIMENT": new_experiment("a", "b"),
        "PYTHONPATH": str(HERE),
    }


SERVERS = {
    "gunicorn": [
        "gunicorn",
        "--preload",
        "--no-control-socket",
        "--workers",
        str(WORKERS),
        "--bind",
        "{address}",
        "prefork_app:wsgi",
    ],
    "uvicorn": ["uvicorn", "--workers", str(WORKERS), "--host", HOST, "--port", "{port}", "prefork_app:asgi"],
}


@contextmanager
def serving(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Iterator[Ask]:
    port = free_port()
    filled = [each.format(address=f"{HOST}:{port}", port=port) for each in command]
    process = ChildProcess([sys.executable, "-m", *filled], folder / "server.log", environment=environment)
    with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=120.0, trust_env=False) as client:

        def ask(number: int) -> dict[str, Any]:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    answer = client.get(f"/?{number}")
                except httpx.ConnectError:
                    assert process.running, process.log_tail()
                    assert time.monotonic() < deadline, process.log_tail()
                    time.sleep(0.1)
                    continue
                assert answer.is_success, process.log_tail()
                found: dict[str, Any] = answer.json()
                return found

        try:
            yield ask
        finally:
            process.stop()


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_server(command: Sequence[str], tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(command, tmp_path, environment) as ask, ThreadPoolExecutor(2 * WORKERS) as callers:
        done = list(callers.map(ask, [0] * 8 * WORKERS + list(range(1, CALLS - 8 * WORKERS + 1))))
    assert [each["foreign"] for each in done] == [[]] * CALLS
    assert len({each["process"] for each in done}) > 1
    # A process draws on; no two sequences are alike, within one or between two.
    arms = [each["arms"] for each in done if each["arms"]]
    assert len(set(arms)) == len(arms) == 8 * WORKERS


FORKED = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import prefork_app

if __name__ == "__main__":
    calls = int(sys.argv[3])
    with ProcessPoolExecutor(int(sys.argv[2]), mp_context=get_context(sys.argv[1])) as pool:
        done = list(pool.map(prefork_app.decide, [0] * 32 + list(range(1, calls - 31))))
    assert [each.foreign for each in done] == [[]] * calls, done
    assert len({each.process for each in done}) > 1
    arms = [each.arms for each in done if each.arms]
    assert len(set(arms)) == len(arms) == 32, arms
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str, tmp_path: Path, environment: dict[str, str]) -> None:
    program = tmp_path / "program.py"
    program.write_text(FORKED)
    command = [sys.executable, "-W", "error", str(program), method, str(WORKERS), str(CALLS)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
