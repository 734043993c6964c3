"""The random log replayed through a running service, with few arms."""

import dagster as dg
import polars as pl
from pydantic import Field

from bandit_pipeline.errors import clear_failure
from bandit_pipeline.obd.assets import obd_rounds
from bandit_pipeline.obd.store import logged_data, read_log
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.partitions import campaigns
from bandit_pipeline.replay_live import visitors
from bandit_pipeline.resources import BanditService, Bucket, Postgres, Tracking
from bandit_pipeline.tables import markdown

NEWS_EVERY = 1_000


class LiveReplayConfig(dg.Config):
    """How visitors are sent."""

    arms: int = Field(default=5, ge=2, description="How many of the items that were logged most often become arms")
    policy: str = Field(default="thompson", description="The experiment's policy")
    min_weight: float = Field(default=0.05, ge=0.0, lt=0.5, description="Smallest weight of an arm")
    batch: int = Field(default=50, ge=1, le=1_000, description="Visitors who share a request, so the same weights")
    rate: float | None = Field(default=None, gt=0.0, description="Visitors per second; none: as the service answers")


@dg.asset(
    partitions_def=campaigns, deps=[obd_rounds], group_name="evaluation", owners=OWNERS, kinds={"mlflow", "fastapi"}
)
def replay_live(
    context: dg.AssetExecutionContext,
    config: LiveReplayConfig,
    bucket: Bucket,
    postgres: Postgres,
    service: BanditService,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    """Rounds of the random log as visitors of bandit-service; a logged reward counts where the logged arm is served.

    A run that was cut off goes on where it stopped: every visitor keeps one decision id.
    """
    campaign = context.partition_key
    with clear_failure(context), service.client() as client:
        data = logged_data(bucket, campaign, "random")
        plan = visitors.plan(read_log(bucket, campaign, "random"), campaign, config.arms, data.digest, config.policy)
        visitors.create(client, plan, config.policy, config.min_weight)
        waiting = visitors.remaining(postgres, plan)
        progress = visitors.Progress(seen=len(plan.visitors) - len(waiting))
        for progress in visitors.send(client, plan, waiting, batch=config.batch, rate=config.rate):
            if progress.sent % NEWS_EVERY < config.batch:
                context.log.info(f"{progress.seen + progress.sent:,} of {len(plan.visitors):,} visitors: {progress}")
        visitors.wait_until_counted(postgres, plan, progress)
        arms = visitors.standing(client, plan)
        with tracking.run(f"replay_live/{campaign}", parameters=config.model_dump(), data=data) as run:
            run.metrics(_totals(arms, len(plan.visitors)), step="visitors")
            run.table("arms", arms)
        return dg.MaterializeResult(
            metadata={
                "experiment": plan.experiment_id,
                "visitors": len(plan.visitors),
                "sent in this run": progress.sent,
                "ended by a conclusion": progress.ended,
                "matches": int(arms["decisions"].sum()),
                "clicks": float(arms["clicks"].sum()),
                "arms": markdown(arms),
            }
        )


def _totals(arms: pl.DataFrame, visitors_sent: int) -> pl.DataFrame:
    return arms.select(
        pl.lit(visitors_sent).alias("visitors"), matches=pl.col("decisions").sum(), clicks=pl.col("clicks").sum()
    ).head(1)
