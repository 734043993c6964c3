"""Sensors ask for a run when there is something to do, and for the same thing once."""

from collections.abc import Callable

import dagster as dg

from bandit_pipeline.resources import BanditService, Postgres, Tracking
from bandit_pipeline.sensors import experiments_to_conclude, experiments_with_new_events
from bandit_pipeline.snapshots.taking import take

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]

DONE = {"min_decisions": 1, "min_decisions_per_arm": 0, "prob_best": None, "expected_loss": 0.9}


def snapshot_request(postgres: Postgres) -> object:
    return experiments_with_new_events(dg.build_sensor_context(), postgres=postgres)


def test_a_hundred_events_ask_for_a_snapshot_once(
    service_postgres: Postgres, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment()
    visit(name, 1)
    take(service_postgres, min_events=1)
    assert isinstance(snapshot_request(service_postgres), dg.SkipReason)
    visit(name, 60)
    first, again = snapshot_request(service_postgres), snapshot_request(service_postgres)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key
    take(service_postgres, min_events=100)
    assert isinstance(snapshot_request(service_postgres), dg.SkipReason)


def test_an_experiment_that_is_done_asks_for_its_conclusion(
    service: BanditService, tracking: Tracking, new_experiment: NewExperiment, visit: Visit
) -> None:
    visit(new_experiment(stopping=DONE), 3)
    asked = experiments_to_conclude(dg.build_sensor_context(), service=service, tracking=tracking)
    assert isinstance(asked, dg.RunRequest)
