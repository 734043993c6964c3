"""`bandit-service apply-experiments` against a service that runs as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from bandit_local.servers.local_server import free_port
from bandit_service.cli import app

if TYPE_CHECKING:
    from conftest import Serve

    from bandit_service.settings import Settings


@pytest.fixture(scope="module")
def url(serve: Serve, module_settings: Settings) -> Iterator[str]:
    with serve(module_settings) as url:
        yield url


def apply(url: str, *arguments: object) -> Result:
    environment = {"BANDIT_URL": url, "BANDIT_API_KEY": None, "COLUMNS": "200"}
    return CliRunner().invoke(app, ["apply-experiments", *map(str, arguments)], env=environment)


def write(folder: Path, experiment_id: str, **settings: Any) -> Path:
    path = folder / f"{experiment_id}.json"
    path.write_text(json.dumps({"experiment_id": experiment_id, "arms": ["a", "b"], **settings}))
    return path


def test_a_folder_of_files_is_applied_as_often_as_one_likes(url: str, tmp_path: Path) -> None:
    write(tmp_path, "one")
    write(tmp_path, "shop.two", description="said")
    first = apply(url, tmp_path)
    assert (first.exit_code, first.stdout) == (0, "one: created, revision 1\nshop.two: created, revision 1\n")
    assert apply(url, tmp_path).stdout.splitlines()[1] == "shop.two: as the file says, revision 1"
    write(tmp_path, "shop.two", description="other")
    assert "revision 2" in apply(url, tmp_path, "--reason", "commit 4711").stdout
    newest = httpx.get(f"{url}/experiments/shop.two/changes").json()["items"][0]
    assert (newest["why"], newest["change"]["after"]) == ("commit 4711", {"description": "other"})


def test_a_file_that_is_refused_keeps_no_other_from_being_applied(url: str, tmp_path: Path) -> None:
    write(tmp_path, "bad", arms=["only one"])
    write(tmp_path, "good")
    done = apply(url, tmp_path)
    assert (done.exit_code, "good: created" in done.stdout) == (1, True)
    assert "bad.json: refused: arms" in done.stderr
    assert done.stderr.endswith("bandit-service: 1 of 2 files were refused\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "experiment_id"),
        ("{}", "experiment_id"),
        ('{"experiment_id": 7}', "must be text"),
        ('{"experiment_id": "x", "arms": ["a"], "arms": ["b"]}', "the key arms is there twice"),
        ('{"experiment_id": "x", "metadata": {"a": NaN}}', "NaN is no number"),
    ],
)
def test_a_file_that_is_no_experiment_is_named(url: str, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    done = apply(url, path)
    assert done.exit_code == 1
    assert str(path) in done.stderr
    assert said in done.stderr


def test_a_service_that_does_not_answer_is_waited_for_and_then_named(tmp_path: Path) -> None:
    done = apply(f"http://127.0.0.1:{free_port()}", write(tmp_path, "one"), "--patience", "0.6")
    assert (done.exit_code, "127.0.0.1 does not answer" in done.stderr) == (75, True)


def test_an_empty_folder_and_a_wrong_address_are_said(url: str, tmp_path: Path) -> None:
    assert "no *.json" in apply(url, tmp_path).stderr
    assert "must be a URL" in apply("bandit-service", write(tmp_path, "one")).stderr
