"""Which experiments are due for a snapshot, and taking it. The service's schema says what a snapshot holds."""

from typing import Any, Final

import polars as pl

from bandit_pipeline.resources import Postgres
from bandit_pipeline.resources.postgres import Row, fetch, fetch_frame
from bandit_pipeline.sql import statement

_SCHEMA: Final[dict[str, Any]] = {
    "experiment_id": pl.String,
    "arm": pl.String,
    "taken_at": pl.Datetime("us", "UTC"),
    "decisions": pl.Int64,
    "rewards": pl.Int64,
    "mean": pl.Float64,
}


def due(postgres: Postgres, min_events: int) -> list[Row]:
    """Return experiment_id, events and new_events of experiments with so many events since the last snapshot."""
    with postgres.transaction() as connection:
        return fetch(connection, statement(__package__, "due"), {"min_events": min_events})


def take(postgres: Postgres, min_events: int) -> pl.DataFrame:
    """Take the snapshots that are due and return one row per experiment and arm.

    An experiment is not due again before something has happened in it, so a repetition takes no second snapshot.
    """
    with postgres.transaction() as connection:
        rows = fetch(connection, statement(__package__, "due"), {"min_events": min_events})
        ids = [row["experiment_id"] for row in rows]
        for experiment_id in ids:
            fetch(connection, statement(__package__, "take"), {"experiment_id": experiment_id})
        return fetch_frame(connection, statement(__package__, "taken"), _SCHEMA, {"experiment_ids": ids})
