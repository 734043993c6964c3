import dataclasses
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bandit_local.options import Options
from bandit_local.servers.local_server import HOST, free_port


def bandit_local(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from bandit_local.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def assert_one_line(result: subprocess.CompletedProcess[str], said: str) -> None:
    assert result.returncode == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stdout + result.stderr


def test_a_port_that_is_taken_is_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = bandit_local("run", "--port", str(port), folder=tmp_path)
    assert_one_line(result, f"Port {port} is taken")
    assert not (tmp_path / ".local").exists()


def test_a_number_of_arms_the_sample_cannot_give_is_one_line(tmp_path: Path) -> None:
    assert_one_line(bandit_local("run", "--arms", "40", folder=tmp_path), "2 to 15 arms, not 40")


def test_a_server_that_does_not_answer_is_one_line_after_the_arms(tmp_path: Path) -> None:
    port, nobody = free_port(), f"redis://{HOST}:{free_port()}"
    result = bandit_local("run", "--port", str(port), "--redis-url", nobody, folder=tmp_path)
    assert_one_line(result, "Redis does not answer")
    assert "item-3   3/201 = 1.49%" in result.stdout


@pytest.mark.parametrize("command", ["run", "pipeline"])
def test_a_folder_that_cannot_be_used_is_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = bandit_local(command, "--port", str(free_port()), "--data", "file", folder=tmp_path)
    assert_one_line(result, "file cannot be used")


@pytest.mark.parametrize("command", ["run", "pipeline"])
def test_a_folder_that_may_not_be_made_is_one_line(command: str, tmp_path: Path) -> None:
    result = bandit_local(command, "--port", str(free_port()), "--data", "/proc/bandit", folder=tmp_path)
    assert_one_line(result, "--data names another folder")


def test_help_names_every_option(tmp_path: Path) -> None:
    result = bandit_local("run", "--help", folder=tmp_path)
    assert result.returncode == 0
    for option in dataclasses.fields(Options):
        assert f"--{option.name.replace('_', '-')}" in result.stdout


def test_a_wrong_option_is_refused(tmp_path: Path) -> None:
    result = bandit_local("run", "--prob-best", "1.5", folder=tmp_path)
    assert result.returncode == 2
    assert "--prob-best" in result.stderr
