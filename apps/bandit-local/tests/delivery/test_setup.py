"""What the set-up says, with a Python and a uv that only act as if."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .repository import ROOT

PYTHON = """#!/bin/sh
case "$1 $2" in
    "-m venv") for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; cp uv "$folder/bin/uv" ;;
esac
"""
UV = """#!/bin/sh
echo "Downloading numpy (17.1MiB)" >&2
echo "Downloading scipy (33.7MiB)" >&2
echo " Downloaded numpy" >&2
case "$*" in *" -r "*) sleep {seconds} ;; esac
{end}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a lock of two packages."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "setup", tmp_path / ".ci" / "setup")
    (tmp_path / "requirements").mkdir()
    for name, lock in {"lock": "numpy==2.0 \\\n    --hash=a\nscipy==1.0\n", "data": "", "uv": "uv==1.0\n"}.items():
        (tmp_path / "requirements" / f"{name}.txt").write_text(lock)
    write(tmp_path / "python", PYTHON)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def set_up(checkout: Path, *, seconds: float = 0, end: str = "") -> subprocess.CompletedProcess[str]:
    write(checkout / "uv", UV.format(seconds=seconds, end=end))
    command = [str(checkout / ".ci" / "setup"), ".venv", "apps/an-app"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(checkout / "python")}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_it_says_what_it_fetches_and_how_long_each_step_took(checkout: Path) -> None:
    done = set_up(checkout)
    first, *steps, last = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert first.startswith("Setting up .venv: 2 packages, about ")
    assert [step.split(":")[0].strip() for step in steps] == ["environment", "uv", "packages", "apps"]
    assert last.startswith(".venv is ready after ")
    assert (checkout / ".venv" / "ready").exists()


def test_meanwhile_it_says_how_far_it_is(checkout: Path) -> None:
    lines = set_up(checkout, seconds=6.5).stdout.splitlines()
    assert any(line.startswith("  packages: 1 of 2 large packages fetched, 17 MB, ") for line in lines)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("echo 'error: hash mismatch' >&2; exit 2", "The set-up failed: error: hash mismatch (see .venv/setup.log)"),
        ("echo 'dns error' >&2; exit 2", "The set-up has to download packages and cannot reach a package index; "),
    ],
)
def test_a_failed_step_is_one_sentence(checkout: Path, end: str, message: str) -> None:
    done = set_up(checkout, end=end)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
