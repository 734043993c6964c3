"""Coverage of a run with workers is that of all of them together."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CODE = """
def first():
    return 1


def second():
    return 2


def third():
    return 3
"""
TEST = """
import code_of_an_app


def test_it():
    assert code_of_an_app.{name}()
"""
SETTINGS = """
[tool.pytest.ini_options]
addopts = ["-p", "bandit_local.testing.plugin", "-p", "no:cacheprovider"]
asyncio_default_fixture_loop_scope = "session"
pythonpath = ["apps/one/src"]

[tool.coverage.run]
parallel = true
data_file = ".local/coverage/data"
source_dirs = ["apps/one/src"]
"""


@pytest.fixture
def app(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An app of six statements, of which each of two test files runs one in a function, and none runs the third."""
    folder = pytester.path / "apps" / "one"
    for path, text in {
        folder / "src" / "code_of_an_app.py": CODE,
        folder / "tests" / "test_first.py": TEST.format(name="first"),
        folder / "tests" / "test_second.py": TEST.format(name="second"),
        pytester.path / "pyproject.toml": SETTINGS,
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("COVERAGE_PROCESS_START", str(pytester.path / "pyproject.toml"))
    monkeypatch.setenv("COVERAGE_CORE", "sysmon")
    monkeypatch.delenv("CI", raising=False)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_every_process_that_ran_tests_counts(pytester: pytest.Pytester, app: Path, workers: int) -> None:
    result = pytester.runpytest_subprocess("-n", str(workers), str(app / "tests"))
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["one * 83.3% * 1 of *6 statements missed"])


def test_without_being_asked_for_nothing_is_measured(
    pytester: pytest.Pytester, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_START")
    result = pytester.runpytest_subprocess(str(app / "tests"))
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*coverage*")
