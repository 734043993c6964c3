"""The whole graph, materialized on the real sample against real servers."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from bandit_pipeline.resources import Bucket, Postgres, Tracking
from bandit_pipeline.resources.postgres import fetch

type Execute = Callable[..., dg.ExecuteInProcessResult]

CAMPAIGN = "men"  # the fewest arms
SMALL: dict[str, dict[str, Any]] = {"regret": {"decisions": 2_000, "every": 200, "runs": 4}}


def materialize_everything(execute: Execute) -> dict[str, dg.AssetMaterialization]:
    """Run every job in the order of the graph and return the last materialization of each asset."""
    found: dict[str, dg.AssetMaterialization] = {}
    for job, partition in jobs():
        config = {name: values for name, values in SMALL.items() if job == "compute_regret"}
        for event in execute(job, partition, config).get_asset_materialization_events():
            found[event.materialization.asset_key.to_user_string()] = event.materialization
    return found


def jobs() -> Iterator[tuple[str, str | None]]:
    for policy in ("random", "bts"):
        yield "ingest_obp", dg.MultiPartitionKey({"campaign": CAMPAIGN, "policy": policy})
    for job in ("obp_replay_simulator", "compute_regret", "evaluate_ope"):
        yield job, CAMPAIGN
    for job in ("conclude_experiments", "snapshot_posteriors", "export_decisions", "monitor_experiments"):
        yield job, None
    yield "ingest_online_retail", None


def state(bucket: Bucket, postgres: Postgres, tracking: Tracking) -> dict[str, Any]:
    """Return everything that a run leaves behind, apart from when it did."""
    with postgres.transaction() as connection:
        results = fetch(
            connection, "SELECT dataset, evaluation_policy, method, estimate FROM ope_results_v1 ORDER BY 1, 2, 3"
        )
        events = fetch(connection, "SELECT count(*) AS events FROM events_v1")
        snapshots = fetch(connection, "SELECT count(*) AS rows FROM posterior_snapshots_v1")
    keys = [f"{name}/{CAMPAIGN}" for name in ("replay", "replay_live", "regret", "ope")]
    return {
        # When the export last read Postgres is all that a repetition changes.
        "objects": {key: bucket.digest(key) for key in bucket.listing("") if not key.endswith("_progress.json")},
        "results": results,
        "events": events,
        "snapshots": snapshots,
        "runs": [len(tracking.finished(key)) for key in keys],
    }


def test_everything_materializes_and_a_rerun_changes_nothing(
    execute: Execute, bucket: Bucket, service_postgres: Postgres, tracking: Tracking
) -> None:
    first = materialize_everything(execute)
    assert set(first) == {
        *("obd_raw", "obd_rounds", "replay", "replay_live", "regret", "ope"),
        *("posterior_snapshots", "conclusions", "decisions_export", "monitoring", "retail_category_rates"),
    }
    before = state(bucket, service_postgres, tracking)
    again = materialize_everything(execute)
    assert again["replay_live"].metadata["sent in this run"].value == 0
    assert state(bucket, service_postgres, tracking) == before
