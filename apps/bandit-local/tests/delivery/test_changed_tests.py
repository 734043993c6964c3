"""Which tests `make test-fast` takes for which change."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from .repository import ROOT

SERVICE = "apps/bandit-service"
CODE = f"{SERVICE}/src/bandit_service"
LAYOUT = (
    f"{SERVICE}/tests/events/test_writer.py",
    f"{SERVICE}/tests/events/test_reconcile.py",
    f"{SERVICE}/tests/test_cli.py",
    f"{SERVICE}/tests/refill/test_all.py",
)


@pytest.fixture(scope="module")
def changed_tests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("changed_tests", ROOT / ".ci" / "changed_tests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in LAYOUT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / LAYOUT[1]).write_text('PAGE = "guide.md"\n')
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["/usr/bin/env", "git", *arguments], cwd=folder, check=True)


@pytest.mark.parametrize(
    ("changed", "whole", "partly"),
    [
        (f"{CODE}/events/writer.py", [LAYOUT[0]], []),
        (f"{CODE}/cli.py", [LAYOUT[2]], []),
        (f"{CODE}/events/refill.py", [f"{SERVICE}/tests/refill"], []),
        (f"{CODE}/events/lane.py", [], [f"{SERVICE}/tests/events"]),
        (f"{CODE}/ledger/pool.py", [], [f"{SERVICE}/tests"]),
        (f"{CODE}/events/lua/drain.lua", [], [f"{SERVICE}/tests/events"]),
        (LAYOUT[1], [LAYOUT[1]], []),
        (f"{SERVICE}/tests/events/conftest.py", [], [f"{SERVICE}/tests/events"]),
        ("grafana/dashboards/panels.py", ["grafana/tests"], []),
        ("docs/studies/sleep.py", ["docs/studies/tests"], []),
        (".ci/setup", ["apps/bandit-local/tests/delivery"], []),
        ("docs/guide.md", [LAYOUT[1]], []),
        ("LICENSE", [], []),
    ],
)
def test_a_change_has_its_tests(
    changed_tests: ModuleType, repository: Path, changed: str, whole: list[str], partly: list[str]
) -> None:
    assert changed_tests.tests_of(repository, [changed]) == (whole, partly)


def test_a_folder_stands_for_its_files(changed_tests: ModuleType, repository: Path) -> None:
    files = ["k8s/a.yaml", "k8s/tests/test_code.py", f"{CODE}/events/lane.py", f"{CODE}/ledger/pool.py"]
    assert changed_tests.tests_of(repository, files) == (
        ["k8s/tests"],
        [f"{SERVICE}/tests"],
    )


def test_changed_are_files_that_differ_and_new_ones(changed_tests: ModuleType, repository: Path) -> None:
    assert changed_tests.changed(repository) == []
    (repository / LAYOUT[0]).write_text("1\n")
    (repository / LAYOUT[2]).unlink()
    (repository / "new.py").touch()
    assert changed_tests.changed(repository) == [LAYOUT[0], "new.py"]


def test_a_tool_is_looked_for_and_named_in_one_list() -> None:
    """The script that installs and the tests that need read the same lines."""
    lines = [line for line in (ROOT / ".ci" / "tools.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(len(line.split()) == 2 for line in lines)
    assert "tools.txt" in (ROOT / ".ci" / "install-tools").read_text()
