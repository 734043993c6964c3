"""What experiments decided and earned, for analysis elsewhere."""

import dagster as dg
import polars as pl

from bandit_pipeline.errors import clear_failure
from bandit_pipeline.export.exporting import ROOT, export
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.resources import Bucket, Postgres
from bandit_pipeline.tables import markdown


@dg.asset(group_name="experiments", owners=OWNERS, kinds={"postgres", "s3", "parquet"})
def decisions_export(
    context: dg.AssetExecutionContext, postgres: Postgres, bucket: Bucket
) -> dg.MaterializeResult[None]:
    """Decisions with propensity, context and reward, a data set per experiment; only days with news are written."""
    with clear_failure(context):
        written = list(export(postgres, bucket))
    return dg.MaterializeResult(
        metadata={
            "files written": len(written),
            "uri": bucket.uri(f"{ROOT}/"),
            "last files": markdown(pl.DataFrame(written[-50:])) if written else "nothing new",
        }
    )
