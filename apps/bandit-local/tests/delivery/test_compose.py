"""What holds for the stack of compose.yaml. That it starts is seen where there is Docker: workflow `compose`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bandit_service.settings import PREFIX, Settings

from .repository import COMPOSE, ROOT, complaints, dockerfile, read_yaml

SECRET = re.compile(r"PASSWORD|SECRET|_KEYS?$|DSN|MC_HOST", re.IGNORECASE)
SERVICES: dict[str, dict[str, Any]] = read_yaml(COMPOSE)["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def settings() -> Iterator[tuple[str, str, str]]:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            yield name, variable, value


def test_it_agrees_with_the_schema() -> None:
    assert complaints("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE) == ""


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_written_down() -> None:
    names = {"BANDIT_S3_ACCESS_KEY"}  # the name of a user
    secret = [
        (variable, value) for _, variable, value in settings() if SECRET.search(variable) and variable not in names
    ]
    assert secret
    assert [variable for variable, value in secret if not re.search(r"\$\{\w+:", value)] == []


def test_the_file_that_holds_the_secrets_is_not_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_what_others_built_is_pinned(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\S*$|:RELEASE\.\S+$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", list(OURS))
def test_our_images_are_built_here_and_run_as_restricted_as_in_a_cluster(name: str) -> None:
    service = OURS[name]
    assert (COMPOSE.parent / service["build"]["context"]).resolve() == ROOT
    assert ROOT / service["build"]["dockerfile"] == dockerfile(service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_our_programs_know_what_they_are_told() -> None:
    known = {"bandit-service": {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}}
    resources = ROOT / "apps" / "bandit-pipeline" / "src" / "bandit_pipeline" / "resources" / "__init__.py"
    known["bandit-pipeline"] = set(re.findall(r'"(BANDIT_\w+)"', resources.read_text()))
    for name, variable, _ in settings():
        if name in OURS:
            assert variable in known[OURS[name]["image"]], f"{name} does not know {variable}"


def test_nothing_starts_before_what_it_needs() -> None:
    assert SERVICES["service"]["depends_on"]["migrations"] == {"condition": "service_completed_successfully"}
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed] or needed in OURS
