"""A replay through the service counts matches only, and may be cut off anywhere."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from bandit_pipeline.replay_live.assets import replay_live
from bandit_pipeline.replay_live.visitors import (
    Plan,
    Progress,
    create,
    plan,
    remaining,
    send,
    standing,
    wait_until_counted,
)
from bandit_pipeline.resources import BanditService, Bucket, Postgres, Tracking
from bandit_pipeline.resources.postgres import fetch

type Execute = Callable[..., dg.ExecuteInProcessResult]

LOG = pl.DataFrame(
    {
        "round": range(300),
        "arm": [number % 3 for number in range(300)],
        "reward": [float(number % 5 == 0) for number in range(300)],
    }
)


@pytest.fixture
def planned(service: BanditService, request: pytest.FixtureRequest) -> Plan:
    """A replay of 200 rounds of two arms, created in the service."""
    made = plan(LOG, "test", 2, request.node.name, "uniform")
    with service.client() as client:
        create(client, made, "uniform", 0.05)
        create(client, made, "uniform", 0.05)
    return made


def events(postgres: Postgres, experiment_id: str) -> pl.DataFrame:
    query = "SELECT decision_id, kind FROM events_v1 WHERE experiment_id = %(id)s"
    with postgres.transaction() as connection:
        return pl.DataFrame(
            fetch(connection, query, {"id": experiment_id}), schema={"decision_id": pl.String, "kind": pl.String}
        )


def test_the_plan_keeps_the_commonest_arms_and_depends_on_the_data() -> None:
    made = plan(LOG, "test", 2, "digest", "uniform")
    assert made.arms == ("item-0", "item-1")
    assert len(made.visitors) == 200
    assert made == plan(LOG, "test", 2, "digest", "uniform")
    assert made.experiment_id != plan(LOG, "test", 2, "other digest", "uniform").experiment_id
    assert made.experiment_id != plan(LOG, "test", 2, "digest", "thompson").experiment_id


def test_only_matches_count(service: BanditService, service_postgres: Postgres, planned: Plan) -> None:
    with service.client() as client:
        [*_, progress] = send(client, planned, planned.visitors, batch=50, rate=None)
        wait_until_counted(service_postgres, planned, progress)
        arms = standing(client, planned)
    kinds = events(service_postgres, planned.experiment_id)["kind"].value_counts().sort("kind")
    assert progress.sent == 200
    assert 60 < progress.matches < 140
    matches = dict.fromkeys(("activation", "outcome", "reward"), progress.matches)
    assert dict(kinds.iter_rows()) == {"decision": 200, **matches}
    assert arms["decisions"].sum() == progress.matches
    assert arms["clicks"].sum() == progress.clicks


def test_who_was_sent_is_not_sent_again_and_a_repetition_changes_nothing(
    service: BanditService, service_postgres: Postgres, planned: Plan
) -> None:
    with service.client() as client:
        for progress in send(client, planned, planned.visitors, batch=50, rate=None):
            if progress.sent == 100:
                break
        wait_until_counted(service_postgres, planned, progress)
        [*_, _] = send(client, planned, remaining(service_postgres, planned), batch=50, rate=None)
        wait_until_counted(service_postgres, planned, Progress(sent=200))
        once = standing(client, planned)
        [*_, _] = send(client, planned, planned.visitors, batch=50, rate=None)
        wait_until_counted(service_postgres, planned, Progress(sent=200))
        assert standing(client, planned).drop("weight").equals(once.drop("weight"))
    found = events(service_postgres, planned.experiment_id)
    assert found.is_unique().all()
    assert len(found.filter(pl.col("kind") == "decision")) == 200


def test_visitors_come_at_the_rate_that_was_asked_for(service: BanditService, planned: Plan) -> None:
    pauses: list[float] = []
    with service.client() as client:
        [*_, _] = send(client, planned, planned.visitors, batch=50, rate=25.0, clock=lambda: 0.0, sleep=pauses.append)
    assert pauses == [0.0, 2.0, 4.0, 6.0]


def test_it_ends_when_the_experiment_is_concluded(service: BanditService, planned: Plan) -> None:
    with service.client() as client:
        client.experiments.conclude(planned.experiment_id, reason="a test", winner="item-1")
        progress = list(send(client, planned, planned.visitors, batch=50, rate=None))
        assert standing(client, planned)["decisions"].sum() == 0
    assert [each.ended for each in progress] == [True]


# The asset alone: the rest of its job has nothing to do with the service.
ALONE = """
import os
import dagster as dg
from bandit_pipeline.replay_live.assets import replay_live
from bandit_pipeline.resources import resources_from

resources = resources_from(os.environ)
dg.materialize([replay_live], partition_key="women", resources=resources)
"""


def test_a_run_that_is_killed_and_run_again_loses_and_doubles_nothing(
    execute: Execute,
    bucket: Bucket,
    service: BanditService,
    service_postgres: Postgres,
    tracking: Tracking,
    tmp_path: Path,
) -> None:
    execute("ingest_obp", dg.MultiPartitionKey({"campaign": "women", "policy": "random"}))
    environment = {
        "BANDIT_S3_ENDPOINT": bucket.endpoint,
        "BANDIT_S3_BUCKET": bucket.name,
        "BANDIT_S3_ACCESS_KEY": bucket.access_key,
        "BANDIT_S3_SECRET_KEY": bucket.secret_key,
        "BANDIT_POSTGRES_DSN": service_postgres.dsn,
        "BANDIT_URL": service.url,
        "BANDIT_MLFLOW_URI": tracking.uri,
        "BANDIT_MLFLOW_ARTIFACTS": tracking.artifacts,
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", ALONE], env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        name = wait_for_first_decisions(service_postgres, process)
    finally:
        process.kill()
        process.wait()
    again = replayed(bucket, service, service_postgres, tracking)
    assert again["experiment"] == name
    assert again["sent in this run"] < again["visitors"]
    matches = dict.fromkeys(("activation", "outcome", "reward"), again["matches"])
    kinds = {"decision": again["visitors"], **matches}
    deadline = time.monotonic() + 30.0
    while dict((found := events(service_postgres, name))["kind"].value_counts().iter_rows()) != kinds:
        assert time.monotonic() < deadline, f"{found['kind'].value_counts()} instead of {kinds}"
        time.sleep(0.1)
    assert found.is_unique().all()


def replayed(bucket: Bucket, service: BanditService, postgres: Postgres, tracking: Tracking) -> dict[str, Any]:
    """Run the asset in this process and return its metadata."""
    resources = {"bucket": bucket, "service": service, "postgres": postgres, "tracking": tracking}
    result = dg.materialize([replay_live], partition_key="women", resources=resources)
    [found] = result.asset_materializations_for_node("replay_live")
    return {name: value.value for name, value in found.metadata.items()}


def wait_for_first_decisions(postgres: Postgres, process: subprocess.Popen[bytes]) -> str:
    """Wait until Postgres has some decisions of the replay and return its experiment."""
    query = "SELECT experiment_id FROM events_v1 WHERE experiment_id LIKE 'obp-replay-women-%%' LIMIT 1"
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline and process.poll() is None:
        with postgres.transaction() as connection:
            if rows := fetch(connection, query, {}):
                return str(rows[0]["experiment_id"])
        time.sleep(0.01)
    pytest.fail("the replay did not begin within two minutes")
