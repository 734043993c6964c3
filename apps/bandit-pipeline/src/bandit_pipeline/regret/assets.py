"""Regret of Thompson sampling against uniform choice and the best arm, on the click rates of the sample."""

import dagster as dg
import polars as pl
from pydantic import Field

from bandit_pipeline.errors import clear_failure
from bandit_pipeline.obd.assets import obd_rounds
from bandit_pipeline.obd.store import logged_data, read_log
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.partitions import campaigns
from bandit_pipeline.regret.curves import Size, chart, click_rates, curves
from bandit_pipeline.resources import Bucket, Tracking
from bandit_pipeline.tables import markdown, picture


class RegretConfig(dg.Config):
    """How much to simulate."""

    decisions: int = Field(default=50_000, ge=1, description="Decisions of one run")
    every: int = Field(default=1_000, ge=1, description="Decisions between two updates of the weights")
    runs: int = Field(default=20, ge=2, description="Independent runs; the bands show 10% to 90% of them")
    seed: int = Field(default=0, ge=0, description="Seed of the simulation")


@dg.asset(
    partitions_def=campaigns, deps=[obd_rounds], group_name="evaluation", owners=OWNERS, kinds={"mlflow", "python"}
)
def regret(
    context: dg.AssetExecutionContext, config: RegretConfig, bucket: Bucket, tracking: Tracking
) -> dg.MaterializeResult[None]:
    """Clicks lost to learning, in a simulation whose arms have the click rates of the random log."""
    campaign = context.partition_key
    with clear_failure(context):
        rates = click_rates(read_log(bucket, campaign, "random"))
        found = curves(rates, Size(config.decisions, config.every, config.runs, config.seed))
        bucket.put_frame(f"silver/regret/{campaign}.parquet", found)
        shown = chart(found, f"Regret, campaign {campaign}: {len(rates)} arms, {config.runs} runs")
        data = logged_data(bucket, campaign, "random")
        with tracking.run(
            f"regret/{campaign}", parameters=config.model_dump() | {"arms": len(rates)}, data=data
        ) as run:
            run.metrics(_wide(found), step="decisions")
            run.figure("regret", shown)
            run.table("regret", found)
        last = found.filter(pl.col("decisions") == config.decisions)
        return dg.MaterializeResult(
            metadata={"regret": picture(shown), "at the end": markdown(last), "mlflow run": run.id}
        )


def _wide(found: pl.DataFrame) -> pl.DataFrame:
    """Return one column per policy, as the metrics of one run are named."""
    long = found.select("decisions", pl.concat_str(pl.lit("regret_"), "policy").alias("metric"), "mean")
    return long.pivot("metric", index="decisions", values="mean")
