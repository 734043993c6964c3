"""banditctl against a real service: what it does, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from bandit_sdk.ctl.app import app

if TYPE_CHECKING:
    from conftest import Service

YAML = """
experiment_id: {name}
arms: [control, bold]
guardrails: {{preset: safe}}
"""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:60]


class Ctl:
    """The command with a key for the service."""

    def __init__(self, service: Service, role: str) -> None:
        self._options = ["--url", service.url, "--api-key", service.keys[role]]

    def __call__(self, *arguments: str, status: int = 0, **more: Any) -> Result:
        done = CliRunner().invoke(app, [*self._options, *arguments], **more)
        assert done.exit_code == status, done.output
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self("--json", *arguments).stdout)


@pytest.fixture
def ctl(service: Service) -> Ctl:
    return Ctl(service, "admin")


@pytest.fixture
def created(ctl: Ctl, name: str, tmp_path: Path) -> str:
    file = tmp_path / "experiment.yaml"
    file.write_text(YAML.format(name=name))
    ctl("experiments", "create", "-f", str(file))
    return name


def test_an_experiment_from_its_file_to_its_end(ctl: Ctl, created: str) -> None:
    assert created in {each["experiment_id"] for each in ctl.json("experiments", "list", "--status", "running")}
    decision = ctl.json("select", created)
    assert ctl("reward", created, decision["decision_id"], "1").output.startswith("applied")
    repeated = ctl("reward", created, decision["decision_id"], "0").output
    assert repeated.strip() == f"duplicate: arm {decision['arm']}, reward 1 counts"
    shown = ctl("experiments", "show", created).output
    assert "control" in shown
    assert "P(best)" in shown
    assert ctl.json("experiments", "pause", created)["status"] == "paused"
    assert ctl.json("experiments", "resume", created)["status"] == "running"
    assert ctl.json("experiments", "conclude", created, "--winner", "bold")["winner"] == "bold"
    assert ctl.json("experiments", "archive", created, "--yes")["status"] == "archived"


def test_archiving_asks_first(ctl: Ctl, created: str) -> None:
    ctl("experiments", "archive", created, status=1, input="n\n")
    assert ctl.json("experiments", "show", created)["experiment"]["status"] == "running"


def test_watching_shows_beliefs_so_many_times(ctl: Ctl, created: str) -> None:
    assert "95% interval" in ctl("experiments", "watch", created, "--times", "2", "--every", "0.1").output


def test_a_plan_from_options_and_from_a_file(ctl: Ctl, tmp_path: Path) -> None:
    options = ["plan", "--rate", "0.1", "--lift", "0.5", "--traffic", "1000", "--days", "5", "--runs", "20"]
    assert "If one arm is 50% better than the others" in " ".join(ctl(*options).stdout.split())
    file = tmp_path / "experiment.yaml"
    file.write_text("experiment_id: planned\narms: [a, b, c]\npolicy: uniform\nstopping: {max_duration: 86400}\n")
    found = ctl.json(*options, "--file", str(file))
    # The file's rule ends it after a day, and three arms share two thirds of the loss.
    assert (found["runs"], found["decisions"]) == (20, 1_000)
    assert found["better"]["lost_evenly"] == pytest.approx(0.1 * 0.5 * 2 / 3 * 1_000)


def test_several_arms_and_features(ctl: Ctl, created: str) -> None:
    assert len(ctl.json("select", created, "--feature", "age=0.3", "--feature", "kind=new")["decision_id"]) > 10
    assert "is not NAME=VALUE" in ctl("select", created, "--feature", "age", status=2).output


def test_the_doctor_finds_what_is_wrong(service: Service, ctl: Ctl, created: str) -> None:
    findings = ctl.json("doctor", created)
    assert [each["name"] for each in findings] == ["service", "versions", "clock", "key", "experiment"]
    assert {each["status"] for each in findings} == {"ok"}
    assert "no experiment 'nowhere'" in ctl("doctor", "nowhere", status=1).output
    done = CliRunner().invoke(app, ["--url", service.url, "doctor"], env={"BANDIT_API_KEY": ""})
    assert (done.exit_code, "BANDIT_API_KEY" in done.output) == (1, True)
    done = CliRunner().invoke(app, ["--url", "http://127.0.0.1:9", "doctor"])
    assert (done.exit_code, "does not answer" in done.output) == (1, True)


@pytest.mark.parametrize("role", ["reader", "writer", "admin"])
def test_the_doctor_names_the_role_of_the_key(service: Service, role: str) -> None:
    findings = {each["name"]: each["text"] for each in Ctl(service, role).json("doctor")}
    assert findings["key"] == f"its role is {role}"


def test_errors_are_one_sentence_and_a_status(service: Service, ctl: Ctl) -> None:
    assert "there is no experiment 'nowhere'" in ctl("experiments", "show", "nowhere", status=4).output
    reader = Ctl(service, "reader")
    assert "role" in reader("experiments", "pause", "nowhere", status=4).output
    away = CliRunner().invoke(app, ["--url", "http://127.0.0.1:9", "select", "x"])
    assert away.exit_code == 3
    assert "BANDIT_URL" in away.output


@pytest.mark.parametrize(("option", "value"), [("--url", "secret"), ("--api-key", "sec ret\n")])
def test_what_can_never_work_is_refused_unseen(option: str, value: str) -> None:
    done = CliRunner().invoke(app, [option, value, "select", "x"])
    assert done.exit_code == 2
    assert "BANDIT_URL" in done.output
    assert "secret" not in done.output
    assert "sec ret" not in done.output


def test_an_export_says_where_the_files_are(ctl: Ctl) -> None:
    assert "export_dir" in ctl.json("export")
    assert "Checkpoint written" in ctl("export").output


@pytest.mark.parametrize("text", ["[1, 2]", "arms: [a, b]", "a: [b"])
def test_a_file_that_is_no_experiment_is_refused(ctl: Ctl, tmp_path: Path, text: str) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(text)
    assert "Invalid value for --file" in ctl("experiments", "create", "--file", str(file), status=2).output


def test_rebuilding_is_the_services_own_work(ctl: Ctl) -> None:
    assert "docs/operations.md" in ctl("rebuild").output


COMMAND = Path(sysconfig.get_path("scripts")) / "banditctl"


def run(service: Service, *arguments: str, given: str = "", **environment: str) -> str:
    """Return what the command writes into a pipe."""
    done = subprocess.run(
        [COMMAND, "--url", service.url, "--api-key", service.keys["admin"], *arguments],
        input=given.encode(),
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(environment.get("PYTHONIOENCODING", "utf-8"))


class TestPipes:
    """What comes through a pipe is read by programs."""

    def test_words_of_people_are_shown_as_they_are(self, service: Service) -> None:
        with service.client() as client:
            client.experiments.create("words", arms=["a", "b"], description="[control] [/x] against :smile: [bold]")
        assert "[control] [/x] against :smile: [bold]" in run(service, "experiments", "list")

    def test_nothing_is_cut(self, service: Service) -> None:
        name = "a-long-experiment-id-for-the-checkout-page-2026-q4-germany-" + "x" * 60
        with service.client() as client:
            client.experiments.create(name, arms=["a" * 128, "b"])
        assert name in run(service, "experiments", "list", COLUMNS="40")
        assert "a" * 128 in run(service, "experiments", "show", name)

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_any_encoding(self, service: Service, encoding: str) -> None:
        with service.client() as client:
            client.experiments.create(f"in-{encoding}", arms=["a", "b"], description="Straße → 東京")
        listed = run(service, "experiments", "list", PYTHONIOENCODING=encoding)
        assert "\\u2192 \\u6771\\u4eac" in listed

    def test_a_file_may_come_through_one(self, service: Service) -> None:
        run(service, "experiments", "create", "-f", "-", given=YAML.format(name="piped"))
        assert "piped" in run(service, "experiments", "list")


def test_a_file_in_another_encoding(ctl: Ctl, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_bytes('experiment_id: x\narms: [a, b]\ndescription: "Straße"\n'.encode("latin-1"))
    assert "cannot be read" in " ".join(ctl("experiments", "create", "--file", str(file), status=2).output.split())


@pytest.mark.parametrize("answer", [b"<h1>hello</h1>", b"{}", b"[]", b"\xff"])
def test_the_doctor_knows_what_is_no_service(answer: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        done = CliRunner().invoke(app, ["--url", f"http://127.0.0.1:{server.server_port}", "doctor"])
        server.shutdown()
    assert (done.exit_code, "is not bandit-service" in done.output) == (1, True)
