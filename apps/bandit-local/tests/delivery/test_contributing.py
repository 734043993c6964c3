"""What a contributor reads is true: files and targets that are named exist, links lead somewhere, forms are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .repository import ROOT, complaints

GITHUB = ROOT / ".github"
CONTRIBUTING = GITHUB / "CONTRIBUTING.md"
PAGES = [
    CONTRIBUTING,
    GITHUB / "SECURITY.md",
    GITHUB / "PULL_REQUEST_TEMPLATE.md",
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("apps/*/README.md")),
]
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def quoted_paths(page: Path) -> Iterator[str]:
    """Yield what stands in backticks and begins with a folder of this repository."""
    for text in re.findall(r"`([^`\s]+)`", page.read_text()):
        if re.match(r"(?:apps|docs|grafana|k8s|requirements|\.github|\.ci)/", text):
            yield text


def test_the_files_that_contributing_names_exist() -> None:
    named = list(quoted_paths(CONTRIBUTING))
    assert len(named) > 50
    # The file that somebody is about to add is not there; its folder is.
    wanted = [Path(path).parent if "NAME" in path else Path(path) for path in named]
    assert [str(path) for path in wanted if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", [GITHUB / "SECURITY.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_the_files_that_another_page_names_exist(page: Path) -> None:
    assert [path for path in quoted_paths(page) if not (ROOT / path).exists()] == []


@every_page
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@every_page
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = re.findall(r"(?:`|^    |\$ )make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert set(called) <= targets


@pytest.mark.parametrize("page", sorted(ROOT.glob("apps/*/README.md")), ids=lambda page: page.parent.name)
def test_the_layout_of_an_app_names_files_that_exist(page: Path) -> None:
    layout = page.read_text().partition("## Layout")[2].partition("\n## ")[0]
    [source] = (path for path in (page.parent / "src").iterdir() if (path / "py.typed").is_file())
    names = {
        name for row in re.findall(r"^\| (`[^|]+) \|", layout, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }
    assert names
    assert {name for name in names if not (source / name).exists()} == set()
    folders = {path.name for path in source.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= {name.rstrip("/") for name in names}, "a folder is missing in the table"


def test_forms_for_issues_are_what_github_understands() -> None:
    assert FORMS
    assert complaints("check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *FORMS) == ""
    config = GITHUB / "ISSUE_TEMPLATE" / "config.yml"
    assert complaints("check-jsonschema", "--builtin-schema", "vendor.github-issue-config", config) == ""


def test_hooks_run_programs_of_the_environment_and_download_nothing() -> None:
    assert complaints("pre-commit", "validate-config", ".pre-commit-config.yaml") == ""
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"repo: (\S+)", text)) == {"local"}
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}
    for program in re.findall(r"entry: .*?\.venv/bin/(\S+)", text):
        assert (ROOT / ".venv" / "bin" / program).is_file()
