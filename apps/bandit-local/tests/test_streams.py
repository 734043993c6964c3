"""Commands in unusual surroundings: a full disk, a pipe without a reader, no standard streams at all."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

SCRIPTS = Path(sysconfig.get_path("scripts"))
COMMANDS = ("banditctl rebuild", "bandit-service keys signing")


def ended(command: str, redirection: str) -> tuple[int, str]:
    """Return the exit status of a command of a shell, and what it wrote to standard error."""
    shell = f"{SCRIPTS / command} {redirection}"
    done = subprocess.run(
        ["/bin/sh", "-c", shell], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_no_standard_output(command: str) -> None:
    assert ended(command, "<&- >&-") == (0, "")


@pytest.mark.only_for("linux")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command: str) -> None:
    assert ended(command, ">/dev/full") == (1, f"{command.partition(' ')[0]}: No space left on device\n")


def test_a_pipe_that_nobody_reads() -> None:
    assert ended("bandit-local --help", "| true")[1] == ""


def test_no_standard_input() -> None:
    status, said = ended("banditctl experiments create -f -", "<&-")
    assert status == 2
    assert "must hold the fields of an experiment" in " ".join(said.replace("│", "").split())


LOGGING = """
import structlog
from bandit_service.http import logs
logs.configure("json", "info")
structlog.get_logger("test").warning("something_happened")
"""


@pytest.mark.only_for("linux")
def test_a_log_that_cannot_be_written() -> None:
    status, said = ended(f"python -c '{LOGGING}'", ">/dev/full")
    assert "Logging error" not in said, said
    assert status != 1, said
