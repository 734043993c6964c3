"""Sensors ask for a run when there is something to do, and for the same thing once."""

from collections.abc import Callable

import dagster as dg

from bandit_pipeline.resources import BanditService, Postgres, Tracking
from bandit_pipeline.sensors import experiments_to_conclude, experiments_with_new_events
from bandit_pipeline.snapshots.taking import take

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]


def snapshots(service: BanditService, postgres: Postgres) -> None:
    with service.client() as client:
        take(client, postgres, min_events=1)


def snapshot_request(postgres: Postgres) -> object:
    return experiments_with_new_events(dg.build_sensor_context(), postgres=postgres)


def test_a_hundred_events_ask_for_a_snapshot_once(
    service: BanditService, service_postgres: Postgres, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment()
    visit(name, 1)
    snapshots(service, service_postgres)
    assert isinstance(snapshot_request(service_postgres), dg.SkipReason)
    visit(name, 60)
    first, again = snapshot_request(service_postgres), snapshot_request(service_postgres)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key
    snapshots(service, service_postgres)
    assert isinstance(snapshot_request(service_postgres), dg.SkipReason)


def test_a_conclusion_asks_for_its_record(
    service: BanditService, tracking: Tracking, new_experiment: NewExperiment
) -> None:
    name = new_experiment()
    with service.client() as client:
        client.experiments.conclude(name, reason="the launch", winner="b")
    asked = experiments_to_conclude(dg.build_sensor_context(), service=service, tracking=tracking)
    assert isinstance(asked, dg.RunRequest)
