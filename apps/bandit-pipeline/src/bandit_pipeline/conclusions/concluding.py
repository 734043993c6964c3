"""Ask the service to conclude, and keep a record of every conclusion: one each, however often this runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bandit_pipeline.resources import BanditService, Grafana, Tracking
from bandit_sdk import Client

_ASKED: Final = "the pipeline asked whether the stopping rule is met"


@dataclass(frozen=True, slots=True)
class Concluded:
    """A conclusion as it stands in the record."""

    experiment_id: str
    winner: str | None
    outcome: str
    why: str


def unrecorded(client: Client, tracking: Tracking) -> list[str]:
    """Return the concluded experiments that there is no record of."""
    concluded = [each.experiment_id for each in client.experiments.every(status="concluded")]
    recorded = tracking.finished_keys(_key("")) if concluded else set()
    return [name for name in concluded if _key(name) not in recorded]


def conclude_and_record(service: BanditService, tracking: Tracking, grafana: Grafana) -> Iterator[Concluded]:
    """Ask for conclusions, then record what is concluded: in Grafana, where there is one, and in MLflow.

    The service says whether a stopping rule ends an experiment, and changes nothing in any other. The record in MLflow
    comes last and is what counts: cut off before it, the next run does the rest again.
    """
    with service.client() as client:
        for each in client.experiments.every(status="running"):
            client.experiments.conclude(each.experiment_id, reason=_ASKED, by_rule=True)
        for name in unrecorded(client, tracking):
            yield _record(client, name, tracking, grafana)


def _record(client: Client, name: str, tracking: Tracking, grafana: Grafana) -> Concluded:
    experiment, posterior = client.experiments.get(name), client.posterior(name)
    conclusion = experiment.conclusion or {}
    concluded = Concluded(name, experiment.winner, conclusion["outcome"], conclusion["why"])
    if grafana.configured:
        at_ms = round(datetime.fromisoformat(conclusion["at"]).timestamp() * 1_000)
        grafana.annotate(f"{name}: {concluded.why}", ["bandit-conclusion", f"experiment:{name}"], at_ms)
    parameters = {"policy": experiment.policy["name"], "winner": concluded.winner, "outcome": concluded.outcome}
    with tracking.run(_key(name), parameters=parameters, tags={"experiment_id": name}) as run:
        run.text("conclusion.txt", concluded.why)
        means = {f"mean_{arm.arm}": arm.mean for arm in posterior.arms}
        run.numbers(means | {f"decisions_{arm.arm}": arm.decisions for arm in posterior.arms})
    return concluded


def _key(name: str) -> str:
    return f"conclusion/{name}"
