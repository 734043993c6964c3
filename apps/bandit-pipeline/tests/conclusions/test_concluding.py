"""What is ready is concluded through the service, and every conclusion is recorded once."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bandit_pipeline.conclusions.concluding import Concluded, conclude_and_record, unrecorded
from bandit_pipeline.resources import BanditService, Grafana, Tracking

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]

SOON = {
    "min_decisions": 10,
    "min_decisions_per_arm": 0,
    "prob_best": None,
    "expected_loss": 0.9,
}


class Annotations(BaseHTTPRequestHandler):
    """The two requests of Grafana's annotations API that are used here, over a list."""

    kept: list[dict[str, Any]]

    def do_GET(self) -> None:
        wanted = set(self.path.partition("tags=")[2].split("&limit")[0].replace("%3A", ":").split("&tags="))
        self._answer([each for each in self.kept if wanted <= set(each["tags"])])

    def do_POST(self) -> None:
        self.kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer({"id": len(self.kept)})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def annotations() -> Iterator[tuple[Grafana, list[dict[str, Any]]]]:
    kept: list[dict[str, Any]] = []
    handler = type("Handler", (Annotations,), {"kept": kept})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Grafana(url=f"http://127.0.0.1:{server.server_port}"), kept
        server.shutdown()


def concluded(service: BanditService, tracking: Tracking, grafana: Grafana, name: str) -> list[Concluded]:
    return [each for each in conclude_and_record(service, tracking, grafana) if each.experiment_id == name]


def test_an_experiment_that_is_done_is_concluded_and_recorded_once(
    service: BanditService,
    tracking: Tracking,
    new_experiment: NewExperiment,
    visit: Visit,
    annotations: tuple[Grafana, list[dict[str, Any]]],
) -> None:
    grafana, kept = annotations
    name = new_experiment(stopping=SOON)
    visit(name, 30)
    [found] = concluded(service, tracking, grafana, name)
    with service.client() as client:
        experiment = client.experiments.get(name)
        assert name not in unrecorded(client, tracking)
    assert experiment.status == "concluded"
    assert experiment.conclusion is not None
    assert found == Concluded(name, experiment.winner, "practically_equal", experiment.conclusion["why"])
    assert "expected loss" in found.why
    assert concluded(service, tracking, grafana, name) == []
    assert len(tracking.finished(f"conclusion/{name}")) == 1
    assert [each["tags"] for each in kept if f"experiment:{name}" in each["tags"]] == [
        ["bandit-conclusion", f"experiment:{name}"]
    ]


def test_an_experiment_to_be_concluded_by_hand_goes_on(
    service: BanditService,
    tracking: Tracking,
    new_experiment: NewExperiment,
    visit: Visit,
    annotations: tuple[Grafana, list[dict[str, Any]]],
) -> None:
    name = new_experiment(stopping=SOON | {"auto_conclude": False})
    visit(name, 30)
    with service.client() as client:
        assert client.conclusion(name).stop
        assert concluded(service, tracking, annotations[0], name) == []
        assert client.experiments.get(name).status == "running"


def test_what_somebody_else_concluded_is_recorded_too_and_an_annotation_is_made_once(
    service: BanditService,
    tracking: Tracking,
    new_experiment: NewExperiment,
    annotations: tuple[Grafana, list[dict[str, Any]]],
) -> None:
    grafana, kept = annotations
    name = new_experiment()
    with service.client() as client:
        client.experiments.conclude(name, reason="the launch", winner="b")
    grafana.annotate("made by a run that was cut off", ["bandit-conclusion", f"experiment:{name}"], 0)
    [found] = concluded(service, tracking, grafana, name)
    assert (found.winner, found.why) == ("b", "the launch")
    assert [each["text"] for each in kept if f"experiment:{name}" in each["tags"]] == ["made by a run that was cut off"]
