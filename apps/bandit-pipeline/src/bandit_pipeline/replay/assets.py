"""What every registered policy would have done on the random logs."""

import dagster as dg
from pydantic import Field

from bandit_core.ope.logged import LoggedDecisions
from bandit_pipeline.errors import clear_failure
from bandit_pipeline.obd.assets import obd_rounds
from bandit_pipeline.obd.store import logged_data, read_log
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.partitions import campaigns
from bandit_pipeline.replay.policies import chart, curves, replay_all, summary
from bandit_pipeline.resources import Bucket, Tracking
from bandit_pipeline.tables import markdown, picture


class ReplayConfig(dg.Config):
    """How policies are replayed."""

    every: int = Field(default=10, ge=1, description="Matches between two updates of a policy's weights")
    seed: int = Field(default=0, ge=0, description="Seed of the draws")


@dg.asset(
    partitions_def=campaigns, deps=[obd_rounds], group_name="evaluation", owners=OWNERS, kinds={"mlflow", "python"}
)
def replay(
    context: dg.AssetExecutionContext, config: ReplayConfig, bucket: Bucket, tracking: Tracking
) -> dg.MaterializeResult[None]:
    """Every registered policy replayed on the random log; matches and clicks say what a mean reward rests on."""
    campaign = context.partition_key
    with clear_failure(context):
        log = LoggedDecisions.from_frame(read_log(bucket, campaign, "random").drop("position"))
        replays = replay_all(log, every=config.every, seed=config.seed)
        table, found = summary(replays), curves(replays)
        bucket.put_frame(f"silver/replay/{campaign}.parquet", table)
        shown = chart(found, f"Replay on the random log, campaign {campaign}")
        data = logged_data(bucket, campaign, "random")
        with tracking.run(f"replay/{campaign}", parameters=config.model_dump(), data=data) as run:
            for (policy,), rows in found.group_by("policy", maintain_order=True):
                names = {"reward": f"reward_{policy}", "regret": f"regret_{policy}"}
                run.metrics(rows.drop("policy").rename(names), step="matches")
            run.figure("replay", shown)
            run.table("replay", table)
        return dg.MaterializeResult(
            metadata={"policies": markdown(table), "clicks over matches": picture(shown), "mlflow run": run.id}
        )
