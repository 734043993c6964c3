"""Which experiments are due for a snapshot, and taking it: an exact fold of events, in integers."""

from typing import Final

import polars as pl

from bandit_pipeline.resources import Postgres
from bandit_pipeline.resources.postgres import Row, fetch
from bandit_pipeline.sql import statement

MICRO: Final = 1_000_000


def due(postgres: Postgres, min_events: int) -> list[Row]:
    """Return experiment_id, epoch, seq and new_events of experiments with so many events since the last snapshot."""
    with postgres.transaction() as connection:
        return fetch(connection, statement(__package__, "due"), {"min_events": min_events})


def take(postgres: Postgres, min_events: int) -> pl.DataFrame:
    """Take the snapshots that are due and return one row per experiment and arm.

    A second snapshot at the same position is none, so taking them twice is taking them once.
    """
    taken: list[Row] = []
    with postgres.transaction() as connection:
        for each in fetch(connection, statement(__package__, "due"), {"min_events": min_events}):
            taken += fetch(connection, statement(__package__, "take"), {"experiment_id": each["experiment_id"]})
    alpha, beta = pl.col("alpha_micro") / MICRO, pl.col("beta_micro") / MICRO
    frame = pl.DataFrame(taken, schema=_SCHEMA, orient="row")
    return frame.select("experiment_id", "arm", "seq", "decisions", "rewards", mean=alpha / (alpha + beta))


_SCHEMA: Final = {
    "experiment_id": pl.String,
    "arm": pl.String,
    **dict.fromkeys(("seq", "alpha_micro", "beta_micro", "decisions", "rewards"), pl.Int64),
}
