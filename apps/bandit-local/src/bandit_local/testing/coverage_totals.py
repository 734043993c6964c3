"""Coverage, where COVERAGE_PROCESS_START asks for it: one line for each app.

coverage starts itself in every Python process that inherits the variable (its .pth file does), so in each worker before
anything is imported, which pytest-cov cannot. The services that tests start as processes are not measured: they are
killed as often as stopped, and what they run is also run in the tests' own processes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence, Set
from pathlib import Path

import coverage
import pytest

from bandit_local.testing import workers

VARIABLE = "COVERAGE_PROCESS_START"
_MEASURED = pytest.StashKey[bool]()


def keep_to_this_process(config: pytest.Config) -> None:
    """Let processes and runs of pytest that tests start be; the workers still have to inherit the variable."""
    config.stash[_MEASURED] = VARIABLE in os.environ
    if workers.is_worker(config) or not config.getoption("numprocesses", None):
        os.environ.pop(VARIABLE, None)


def save() -> None:
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.stop()
        measured.save()


def lines(config: pytest.Config, tested: Set[str]) -> Sequence[str]:
    """Return the totals of the apps that were tested; nothing where coverage was not asked for."""
    if not config.stash[_MEASURED]:
        return []
    root = config.rootpath
    save()
    combined = coverage.Coverage(config_file=str(root / "pyproject.toml"))
    combined.combine()
    statements: dict[str, int] = defaultdict(int)
    missing: dict[str, int] = defaultdict(int)
    for file in combined.get_data().measured_files():
        name = app_of(Path(file).relative_to(root).as_posix())
        _, executable, _, missed, _ = combined.analysis2(file)
        statements[name] += len(executable)
        missing[name] += len(missed)
    names = sorted(tested & statements.keys())
    sums = sum(statements[name] for name in names), sum(missing[name] for name in names)
    each = [_line(name, statements[name], missing[name]) for name in names]
    return each if len(each) == 1 else [*each, _line("together", *sums)]


def app_of(path: str) -> str:
    """Return the app, or the folder beside the apps, that a file belongs to."""
    first, second = path.split("/")[:2]
    return second if first == "apps" else first


def _line(name: str, statements: int, missing: int) -> str:
    share = 100 * (1 - missing / max(1, statements))
    return f"{name:16} {share:5.1f}%   {missing:5,} of {statements:6,} statements missed"
