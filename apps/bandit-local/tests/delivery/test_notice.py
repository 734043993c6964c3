"""NOTICE names every package that this project names, and no other, with the licence that the package states."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .repository import ROOT

NOTICE = (ROOT / "NOTICE").read_text()
START, END = "Packages that this project names itself", "What to know about some of them"


def listed() -> dict[str, str]:
    """Return the licence of each package in the table."""
    table = NOTICE.partition(START)[2].partition(END)[0]
    rows = re.findall(r"^    ([a-z0-9-]+) {2,}(\S.*?) {2,}\S.*$", table, re.MULTILINE)
    return {name: licence for name, licence in rows if name != "package"}


def named() -> Iterator[str]:
    """Yield what pyproject.toml files ask for, apps of this project left out, and uv, which installs all of it."""
    for path in sorted((ROOT / "apps").glob("*/pyproject.toml")):
        content = tomllib.loads(path.read_text())
        project = content["project"]
        extras = [text for texts in project.get("optional-dependencies", {}).values() for text in texts]
        yield from [*project["dependencies"], *extras, *content["build-system"]["requires"]]
    for texts in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"].values():
        yield from texts
    yield "uv"


def stated(package: str) -> str | None:
    """Return the licence expression of an installed package; None if it is in another environment or states none."""
    try:
        return metadata(package).get("License-Expression")
    except PackageNotFoundError:
        return None


def test_every_package_is_listed_and_no_other() -> None:
    names = {canonicalize_name(Requirement(text).name) for text in named()}
    apps = {path.parent.name for path in (ROOT / "apps").glob("*/pyproject.toml")}
    assert listed().keys() == names - apps


def test_a_licence_is_the_one_that_the_package_states() -> None:
    packages = listed()
    expected = {name: expression for name in packages if (expression := stated(name)) is not None}
    assert expected
    assert {name: packages[name] for name in expected} == expected


def test_the_licence_of_seldon_core_is_explained() -> None:
    assert listed()["seldon-core"] == "Business Source License 1.1"
    assert "Additional Use Grant" in NOTICE


def test_the_projects_of_kept_definitions_are_listed() -> None:
    files = list((ROOT / "k8s" / "tests" / "definitions").glob("*.yaml"))
    assert files
    for file in files:
        source = re.match(r"# From (\S+) v\S+ ", file.read_text())
        assert source is not None, file
        assert re.search(rf"^    {re.escape(source[1])} ", NOTICE, re.MULTILINE), source[1]
