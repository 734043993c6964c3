"""The table ope_results in Postgres: the newest evaluation of each data set."""

import polars as pl

from bandit_pipeline.resources import Postgres
from bandit_pipeline.sql import statement


def replace(postgres: Postgres, dataset: str, digest: str, found: pl.DataFrame) -> None:
    """Put an evaluation in the place of the one before, at one moment. `digest` says which data it was made on."""
    rows = [row | {"dataset": dataset, "digest": digest} for row in found.to_dicts()]
    with postgres.transaction() as connection:
        connection.execute("DELETE FROM ope_results WHERE dataset = %s", [dataset])
        connection.cursor().executemany(statement(__package__, "results").encode(), rows)
