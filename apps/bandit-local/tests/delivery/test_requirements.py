"""An image gets what was tested, and no more."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .repository import ROOT, declared, pins

DECLARED = {
    "service": [*declared("bandit-service"), *declared("bandit-core"), *declared("bandit-sdk", "cli")],
    "pipeline": [
        *declared("bandit-pipeline", "cluster"),
        *declared("bandit-core", "ope"),
        *declared("bandit-sdk"),
    ],
    "router": [*declared("bandit-router"), *declared("bandit-sdk")],
}


@pytest.mark.parametrize("name", ["service", "pipeline", "build"])
def test_an_image_has_the_versions_of_the_common_lock(name: str) -> None:
    tested = pins("lock") | pins("uv")
    assert {package: tested.get(package) for package in pins(name)} == pins(name)


def test_the_routers_client_has_the_versions_of_the_common_lock() -> None:
    client = {canonicalize_name(wanted.name) for wanted in declared("bandit-sdk")}
    assert {name: pins("router")[name] for name in client} == {name: pins("lock")[name] for name in client}


@pytest.mark.parametrize("name", ["service", "pipeline", "router", "build"])
def test_every_package_of_an_image_is_known_by_its_hashes(name: str) -> None:
    assert [package for package, (_, hashes) in pins(name).items() if not hashes] == []


@pytest.mark.parametrize("name", list(DECLARED))
def test_an_image_has_everything_its_app_declares(name: str) -> None:
    pinned = pins(name)
    for wanted in DECLARED[name]:
        version, _ = pinned[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), f"{wanted} is pinned to {version}: run `make lock`"


@pytest.mark.parametrize("name", list(DECLARED))
def test_an_image_has_no_tool_of_development(name: str) -> None:
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    tools = {canonicalize_name(Requirement(text).name) for text in group}
    needed = {canonicalize_name(wanted.name) for wanted in DECLARED[name]}
    # A library may need one of them itself, as Dagster needs PyYAML.
    assert tools & pins(name).keys() - needed <= {"gunicorn", "pyyaml"}
