"""Which experiments are due for a snapshot. The service takes it, and says what it holds."""

from typing import Any, Final

import polars as pl

from bandit_pipeline.resources import Postgres
from bandit_pipeline.resources.postgres import Row, fetch
from bandit_pipeline.sql import statement
from bandit_sdk import Client

_SCHEMA: Final[dict[str, Any]] = {
    "experiment_id": pl.String,
    "taken_at": pl.Datetime("us", "UTC"),
    "arm": pl.String,
    "decisions": pl.Int64,
    "rewards": pl.Int64,
    "mean": pl.Float64,
}


def due(postgres: Postgres, min_events: int) -> list[Row]:
    """Return experiment_id, events and new_events of experiments with so many events since the last snapshot."""
    with postgres.transaction() as connection:
        return fetch(connection, statement(__package__, "due"), {"min_events": min_events})


def take(client: Client, postgres: Postgres, min_events: int) -> pl.DataFrame:
    """Have the snapshots taken that are due, and return one row per experiment and arm.

    An experiment is not due again before something has happened in it, so a repetition takes no second snapshot.
    """
    names = [row["experiment_id"] for row in due(postgres, min_events)]
    snapshots = [client.experiments.snapshot(name, min_events=min_events) for name in names]
    rows = [
        (each.experiment_id, each.taken_at, arm.arm, arm.decisions, arm.rewards, arm.mean)
        for each in snapshots
        if each.taken
        for arm in each.arms
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
