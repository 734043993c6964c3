"""Programs that pip cannot bring, and tests that mean nothing on some machines.

A test says `@pytest.mark.needs("faketime")`. Without that program it is skipped with the name of its package, and where
`CI` is set it fails: there `.ci/install-tools` has installed it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

LIST = Path(".ci") / "tools.txt"
# Debian puts daemons where an ordinary user's PATH does not look, and the servers of Postgres beside their version.
ELSEWHERE = ("/usr/local/sbin", "/usr/sbin", "/sbin")
POSTGRES = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Program:
    """One program under any of its names, and the package that has it."""

    names: tuple[str, ...]
    package: str

    def find(self) -> Path | None:
        """Return where the program is."""
        versions = sorted(POSTGRES.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
        path = os.pathsep.join([os.environ.get("PATH", ""), *ELSEWHERE, *map(str, versions)])
        found = (shutil.which(name, path=path) for name in self.names)
        return next((Path(each) for each in found if each), None)


class Tools:
    """The list of tools in .ci/tools.txt."""

    def __init__(self, tools: Mapping[str, Program]) -> None:
        self._tools = tools

    @classmethod
    @cache
    def of(cls, root: Path) -> Tools:
        tools = {}
        for line in (root / LIST).read_text().splitlines():
            if line and not line.startswith("#"):
                names, package = line.split()
                tools[names.split("|")[0]] = Program(tuple(names.split("|")), package)
        return cls(tools)

    def __getitem__(self, name: str) -> Program:
        if name not in self._tools:
            raise KeyError(f"{name} is not in {LIST}: add it there, with its package")
        return self._tools[name]

    def what_is_missing(self, names: Iterable[str]) -> str:
        """Return a line about the first of these programs that is not there, empty when all are."""
        for name in names:
            if self[name].find() is None:
                return f"{name} is missing: install the package {self[name].package}"
        return ""


def in_ci() -> bool:
    """Return whether this machine has to have everything."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def applies(item: pytest.Item) -> bool:
    """Return whether a test means something here: `@pytest.mark.only_for("root", "linux")`."""
    here = {"linux": sys.platform == "linux", "macos": sys.platform == "darwin", "root": os.geteuid() == 0}
    return all(here[kind] for marker in item.iter_markers("only_for") for kind in marker.args)
