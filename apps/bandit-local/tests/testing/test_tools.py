"""The list of tools, and what becomes of a test whose tool is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bandit_local.testing import tools
from bandit_local.testing.tools import Program, Tools

pytest_plugins = ["pytester"]

USES_A_TOOL = """
import pytest

@pytest.mark.needs("sh", "nowhere")
def test_it():
    pass

@pytest.mark.only_for("KIND")
def test_of_another_machine():
    pass
"""


SETTINGS = """
[pytest]
addopts = -p bandit_local.testing.plugin -p no:cacheprovider
asyncio_default_fixture_loop_scope = session
"""


@pytest.fixture
def here(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with a list of tools and a test that needs one of them."""
    (pytester.path / ".ci").mkdir()
    (pytester.path / tools.LIST).write_text("# a list\nsh dash\nnowhere|neither no-such-package\n")
    pytester.makepyfile(USES_A_TOOL.replace("KIND", "linux" if sys.platform == "darwin" else "macos"))
    pytester.makeini(SETTINGS)
    monkeypatch.delenv("CI", raising=False)
    return pytester


def test_on_a_laptop_the_test_is_skipped_with_the_name_of_the_package(here: pytest.Pytester) -> None:
    result = here.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1, deselected=1)
    result.stdout.fnmatch_lines(["*nowhere is missing: install the package no-such-package*"])
    result.stdout.no_fnmatch_line("skipped: *")


def test_where_ci_is_set_it_fails(here: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    result = here.runpytest_subprocess()
    result.assert_outcomes(errors=1, deselected=1)
    result.stdout.fnmatch_lines(["nowhere is missing: install the package no-such-package"])
    assert result.outlines[-1] == "skipped: 0"


def test_where_ci_is_set_no_test_may_be_skipped(here: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    here.makepyfile("import pytest\n\ndef test_a():\n    pytest.skip('no')\n\ndef test_b():\n    pass\n")
    result = here.runpytest_subprocess()
    result.assert_outcomes(skipped=1, passed=1)
    assert (result.outlines[-1], result.ret) == ("skipped: 1", pytest.ExitCode.TESTS_FAILED)


def test_a_program_is_found_under_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "second"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Program(("first", "second"), "a-package").find() == program
    assert Program(("first",), "a-package").find() is None


def test_the_newest_server_of_postgres_is_found_beside_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("9.6", "15", "16"):
        program = tmp_path / version / "bin" / "postgres"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setattr(tools, "POSTGRES", tmp_path)
    monkeypatch.setenv("PATH", "")
    assert Program(("postgres",), "postgresql").find() == tmp_path / "16" / "bin" / "postgres"


def test_a_tool_has_to_be_in_the_list(pytestconfig: pytest.Config) -> None:
    with pytest.raises(KeyError, match=r"hammer is not in \.ci/tools\.txt"):
        Tools.of(pytestconfig.rootpath)["hammer"]


@pytest.mark.parametrize(("value", "everything"), [("true", True), ("1", True), ("", False), ("false", False)])
def test_ci_is_what_the_variable_says(monkeypatch: pytest.MonkeyPatch, value: str, *, everything: bool) -> None:
    monkeypatch.setenv("CI", value)
    assert tools.in_ci() is everything
