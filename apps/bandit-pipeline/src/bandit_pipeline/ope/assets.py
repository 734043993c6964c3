"""What policies would have earned, by every estimator."""

import dagster as dg
import polars as pl
from pydantic import Field

from bandit_core.ope.logged import LoggedDecisions
from bandit_pipeline.errors import clear_failure
from bandit_pipeline.obd.assets import obd_rounds
from bandit_pipeline.obd.rounds import POSITIONS, USER_FEATURES
from bandit_pipeline.obd.store import logged_data, read_log
from bandit_pipeline.ope.chart import chart
from bandit_pipeline.ope.contextual import frequent_values, with_contexts
from bandit_pipeline.ope.evaluation import evaluate
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.partitions import campaigns
from bandit_pipeline.resources import BanditService, Bucket, Tracking
from bandit_pipeline.tables import markdown, picture

SHOWN = [
    "behavior_policy",
    "evaluation_policy",
    "method",
    "estimate",
    "std_error",
    "ess",
    "on_policy_value",
    "relative_error",
]


class OpeConfig(dg.Config):
    """How policies are evaluated."""

    thresholds: list[float] = Field(default=[2.0, 10.0], description="Where weights are clipped, switched or shrunk")
    seed: int = Field(default=0, ge=0, description="Seed of the folds of the reward model")


@dg.asset(
    partitions_def=campaigns,
    deps=[obd_rounds],
    group_name="evaluation",
    owners=OWNERS,
    kinds={"mlflow", "fastapi", "python"},
)
def ope(
    context: dg.AssetExecutionContext, config: OpeConfig, bucket: Bucket, service: BanditService, tracking: Tracking
) -> dg.MaterializeResult[None]:
    """Estimates of what policies would have earned, by every estimator; with the error where the truth is known."""
    campaign = context.partition_key
    with clear_failure(context):
        random, bts = load(bucket, campaign)
        found = evaluate(random, bts, thresholds=config.thresholds, seed=config.seed)
        data = logged_data(bucket, campaign, "random")
        bucket.put_frame(f"silver/ope/{campaign}.parquet", found)
        keep(service, campaign, data.digest, found)
        shown = chart(found.filter(pl.col("evaluation_policy") == "bts"), f"BTS from the random log, {campaign}")
        with tracking.run(f"ope/{campaign}", parameters=config.model_dump(), data=data) as run:
            run.table("ope", found)
            run.figure("ope", shown)
            run.numbers(_errors(found))
        known = found.filter(pl.col("on_policy_value").is_not_null()).select(SHOWN)
        return dg.MaterializeResult(
            metadata={
                "estimates": len(found),
                "where the truth is known": markdown(known),
                "by context against without": markdown(_against(found)),
                "BTS from the random log": picture(shown),
                "mlflow run": run.id,
            }
        )


def keep(service: BanditService, campaign: str, digest: str, found: pl.DataFrame) -> None:
    """Have the service keep an evaluation in the place of the one before. `digest` says which data it was made on."""
    with service.client() as client:
        client.experiments.keep_evaluation(
            f"obp-{campaign}", dataset=f"obp/{campaign}", digest=digest, results=found.to_dicts()
        )


def load(bucket: Bucket, campaign: str) -> tuple[LoggedDecisions, LoggedDecisions]:
    """Return the random and the BTS log of a campaign, over the same arms."""
    logs = [read_log(bucket, campaign, policy, features=USER_FEATURES) for policy in ("random", "bts")]
    return logged(*logs)


def logged(random: pl.DataFrame, bts: pl.DataFrame) -> tuple[LoggedDecisions, LoggedDecisions]:
    """Return two logs over the same arms, with who the visitors were as contexts."""
    arms = 1 + max(int(frame["arm"].to_numpy().max()) for frame in (random, bts))
    values = frequent_values(random)
    (first, names), (second, _) = with_contexts(random, values), with_contexts(bts, values)
    return (
        LoggedDecisions.from_frame(first, contexts=names, n_arms=arms, n_positions=POSITIONS),
        LoggedDecisions.from_frame(second, contexts=names, n_arms=arms, n_positions=POSITIONS),
    )


def _against(found: pl.DataFrame) -> pl.DataFrame:
    """Return what policies that know the visitor earn above the one that does not."""
    return found.filter(pl.col("evaluation_policy").str.contains(" over ")).select(
        "evaluation_policy", "estimate", "std_error", "low", "high", "n", "ess"
    )


def _errors(found: pl.DataFrame) -> dict[str, float]:
    """Return the relative errors by names that MLflow takes."""
    known = found.filter(pl.col("relative_error").is_not_null()).iter_rows(named=True)
    return {
        f"relative_error_{row['evaluation_policy']}_{row['method']}".replace("(", "_").replace(")", ""): row[
            "relative_error"
        ]
        for row in known
    }
