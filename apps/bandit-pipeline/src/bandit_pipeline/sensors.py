"""What starts a job because something has happened."""

from hashlib import blake2b
from typing import Final

import dagster as dg

from bandit_pipeline.conclusions import concluding
from bandit_pipeline.jobs import conclude_experiments, snapshot_posteriors
from bandit_pipeline.resources import BanditService, Postgres, Tracking
from bandit_pipeline.snapshots import taking

SNAPSHOT_EVERY: Final = 100
"""Counted events of an experiment between two snapshots."""


@dg.sensor(job=snapshot_posteriors, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def experiments_with_new_events(postgres: Postgres) -> dg.RunRequest | dg.SkipReason:
    """Starts a snapshot once an experiment has had 100 events since the last one."""
    due = taking.due(postgres, SNAPSHOT_EVERY)
    if not due:
        return dg.SkipReason(f"no experiment has had {SNAPSHOT_EVERY} new events")
    states = sorted(f"{each['experiment_id']}:{each['events']}" for each in due)
    config = {"ops": {"posterior_snapshots": {"config": {"min_events": SNAPSHOT_EVERY}}}}
    return dg.RunRequest(run_key=_fingerprint(states), run_config=config)


@dg.sensor(job=conclude_experiments, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def experiments_to_conclude(service: BanditService, tracking: Tracking) -> dg.RunRequest | dg.SkipReason:
    """Records a conclusion once an experiment was concluded, by the service's stopping rule or by a person."""
    with service.client() as client:
        unrecorded = concluding.unrecorded(client, tracking)
    if not unrecorded:
        return dg.SkipReason("every conclusion is recorded")
    return dg.RunRequest(run_key=_fingerprint(unrecorded))


def _fingerprint(parts: list[str]) -> str:
    return blake2b("|".join(parts).encode(), digest_size=16).hexdigest()


SENSORS = [experiments_with_new_events, experiments_to_conclude]
