"""Experiments whose stopping rule has spoken."""

import dagster as dg
import polars as pl

from bandit_pipeline.conclusions.concluding import conclude_and_record
from bandit_pipeline.errors import clear_failure
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.resources import BanditService, Grafana, Tracking
from bandit_pipeline.tables import markdown


@dg.asset(group_name="experiments", owners=OWNERS, kinds={"fastapi", "mlflow"})
def conclusions(
    context: dg.AssetExecutionContext, service: BanditService, tracking: Tracking, grafana: Grafana
) -> dg.MaterializeResult[None]:
    """Has the service conclude what its stopping rules end, and records every conclusion in MLflow and Grafana."""
    with clear_failure(context):
        concluded = list(conclude_and_record(service, tracking, grafana))
    return dg.MaterializeResult(
        metadata={
            "recorded": len(concluded),
            "conclusions": markdown(pl.DataFrame(concluded)) if concluded else "no new ones",
        }
    )
