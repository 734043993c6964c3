"""`banditctl experiments apply` against a service that runs as a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from bandit_local.servers.local_server import free_port
from bandit_sdk.ctl.app import app
from bandit_sdk.requests import Call
from bandit_sdk.responses import decoder

if TYPE_CHECKING:
    from conftest import Service


class Apply:
    """The command, with an admin's key unless another is given."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, *arguments: object, key: str | None = None) -> Result:
        options = ["--url", self._service.url, "--api-key", key or self._service.keys["admin"]]
        return CliRunner().invoke(app, [*options, "experiments", "apply", *map(str, arguments)])


@pytest.fixture
def apply(service: Service) -> Apply:
    return Apply(service)


def write(folder: Path, experiment_id: str, **settings: Any) -> Path:
    path = folder / f"{experiment_id}.json"
    path.write_text(json.dumps({"experiment_id": experiment_id, "arms": ["a", "b"], **settings}))
    return path


def test_a_folder_is_applied_again(service: Service, apply: Apply, tmp_path: Path) -> None:
    write(tmp_path, "one")
    write(tmp_path, "shop.two", description="said")
    (tmp_path / "README.md").write_text("no experiment")
    said = "one is as its file says, at revision 1\nshop.two is as its file says, at revision 1\n"
    for _ in range(2):
        done = apply(tmp_path)
        assert (done.exit_code, done.stdout) == (0, said)
    write(tmp_path, "shop.two", description="other")
    assert "revision 2" in apply(tmp_path, "--reason", "commit 4711").stdout
    with service.client() as client:
        changes = client.send(Call("GET", "/experiments/shop.two/changes", decoder(dict[str, Any])))
    newest = changes["items"][0]
    assert (newest["why"], newest["change"]["after"]) == ("commit 4711", {"description": "other"})


def test_yaml_and_json_give_one_revision(apply: Apply, tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text("experiment_id: both\narms: [a, b]\ndescription: 😀 on\n")
    assert "revision 1" in apply(file).stdout
    assert "revision 1" in apply(write(tmp_path, "both", description="😀 on")).stdout


def test_refused_files_are_counted(apply: Apply, tmp_path: Path) -> None:
    write(tmp_path, "bad", arms=["only one"], holdout=2, policy={"nam": "uniform"})
    write(tmp_path, "worse", holdout=0.5)
    write(tmp_path, "good")
    done = apply(tmp_path)
    assert (done.exit_code, "good is as its file says" in done.stdout) == (1, True)
    # The rules refuse the first one, and the service the second.
    for said in ("arms: must have at least 2 entries", "holdout: must be less than 1", "policy.nam: unknown field"):
        assert said in done.stderr
    assert "worse.json is refused: control_arm" in done.stderr
    assert done.stderr.endswith("2 of 3 files were refused.\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "must hold the fields of an experiment"),
        ("{}", "experiment_id: is required"),
        ('{"experiment_id": 7, "arms": ["a", "b"]}', "experiment_id: must be text, not a number"),
        ('{"experiment_id": "x", "arms": ["a"], "arms": ["b"]}', "the key arms is there twice"),
        ('{"experiment_id": "x", "metadata": {"a": NaN}}', "NaN is no number"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_file_that_is_no_experiment(apply: Apply, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    done = apply(path)
    assert (done.exit_code, path.name in done.stderr) == (1, True)
    assert said in done.stderr


def test_a_service_that_is_away(tmp_path: Path) -> None:
    options = ["--url", f"http://127.0.0.1:{free_port()}", "experiments", "apply", "--patience", "0.6"]
    done = CliRunner().invoke(app, [*options, str(write(tmp_path, "one"))])
    assert (done.exit_code, "did not answer after" in done.stderr) == (3, True)


def test_a_key_that_is_not_known(apply: Apply, tmp_path: Path) -> None:
    done = apply(write(tmp_path, "one"), key="unknown")
    assert (done.exit_code, "BANDIT_API_KEY" in done.stderr) == (4, True)


def test_an_empty_folder(apply: Apply, tmp_path: Path) -> None:
    assert apply(tmp_path).exit_code == 1
