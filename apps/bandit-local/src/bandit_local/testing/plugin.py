"""The pytest plugin of this repository, named in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from bandit_local.testing import coverage_totals, workers
from bandit_local.testing.servers import new_database, odd_database, postgres_server, uses_a_server
from bandit_local.testing.tools import Tools, applies, in_ci

__all__ = ["new_database", "odd_database", "postgres_server"]

MARKERS = (
    "needs(*programs): the test needs these programs of .ci/tools.txt; without one it is skipped, with CI set it fails",
    "only_for(*kinds): the test means something for root, on linux or on macos; elsewhere it is not part of the run",
    "server: the test uses a real server; given to tests with a fixture or an import that starts one",
)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    coverage_totals.keep_to_this_process(config)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers `-n auto` means."""
    return workers.number_for(config.args)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return workers.Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if uses_a_server(item):
            item.add_marker(pytest.mark.server)
    kept = [item for item in items if applies(item)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if not applies(item)])
    items[:] = sorted(kept, key=lambda item: workers.rank(item.nodeid)) if workers.is_worker(config) else kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = [name for marker in item.iter_markers("needs") for name in marker.args]
    if not wanted:
        return
    missing = Tools.of(item.config.rootpath).what_is_missing(wanted)
    if missing and in_ci():
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if workers.is_worker(session.config):
        coverage_totals.save()
    elif in_ci() and _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if workers.is_worker(config):
        return  # workers come by here, too, and what they write is not shown
    passed = terminalreporter.stats.get("passed", ())
    tested = {coverage_totals.app_of(report.nodeid) for report in passed if report.nodeid.count("/")}
    totals: Sequence[str] = coverage_totals.lines(config, tested)
    if totals:
        terminalreporter.section("coverage: statements of each app that the tests ran in their own process")
        for line in totals:
            terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with the number of skipped tests where no test may be skipped."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if in_ci() and reporter is not None and not workers.is_worker(config) and "PYTEST_CURRENT_TEST" not in os.environ:
        reporter.write_line(f"skipped: {_skipped(config)}")


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return 0 if reporter is None else len(reporter.stats.get("skipped", ()))
