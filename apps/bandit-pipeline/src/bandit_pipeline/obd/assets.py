"""The Open Bandit Dataset in the bucket: as it came, and as rounds that can be trusted."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl
from pydantic import Field

from bandit_pipeline.errors import PipelineError, clear_failure
from bandit_pipeline.obd import source
from bandit_pipeline.obd.rounds import Refined, refine
from bandit_pipeline.obd.store import quarantine_key, raw_key, read_log, rounds_key
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.partitions import log_partition, logs
from bandit_pipeline.resources import Bucket
from bandit_pipeline.tables import markdown
from bandit_sdk.connection import without_secrets

GROUP = "obd"


class ObdSource(dg.Config):
    """Which copy of the data set to read."""

    source: str = Field(
        default="",
        description="Folder, zip file or URL of the data set; empty: BANDIT_OBD_SOURCE, else obp's sample",
    )


class RoundsConfig(dg.Config):
    """How many bad rows are too many."""

    max_bad_share: float = Field(default=0.01, ge=0.0, le=1.0, description="Bad rows above which a log is refused")


@dg.asset(partitions_def=logs, group_name=GROUP, owners=OWNERS, kinds={"s3", "csv"})
def obd_raw(context: dg.AssetExecutionContext, config: ObdSource, bucket: Bucket) -> dg.MaterializeResult[None]:
    """The files of one log of the Open Bandit Dataset, byte for byte as they came."""
    campaign, policy = log_partition(context)
    where = config.source or os.environ.get("BANDIT_OBD_SOURCE", "")
    with clear_failure(context):
        for file in source.log_files(campaign):
            with source.opened(where, campaign, policy, file) as stream:
                bucket.upload(raw_key(campaign, policy, file), stream)
        key = raw_key(campaign, policy, source.log_files(campaign)[0])
        return dg.MaterializeResult(
            metadata={
                "source": without_secrets(where) or "the sample of the obp wheel",
                "uri": bucket.uri(key),
                "digest": bucket.digest(key),
            }
        )


@dg.asset(partitions_def=logs, deps=[obd_raw], group_name=GROUP, owners=OWNERS, kinds={"s3", "parquet", "polars"})
def obd_rounds(context: dg.AssetExecutionContext, config: RoundsConfig, bucket: Bucket) -> dg.MaterializeResult[None]:
    """Typed, validated rounds of one log; rows that are not valid are put aside with the reason."""
    campaign, policy = log_partition(context)
    with clear_failure(context), TemporaryDirectory() as folder:
        rounds, quarantine = Path(folder) / "rounds.parquet", Path(folder) / "quarantine.parquet"
        with bucket.downloaded(raw_key(campaign, policy, source.log_files(campaign)[0])) as raw:
            refined = refine(raw, rounds, quarantine)
        _check_share(refined, quarantine, config.max_bad_share)
        _store(bucket, rounds_key(campaign, policy), rounds)
        _store(bucket, quarantine_key(campaign, policy), quarantine)
        log = read_log(bucket, campaign, policy)
        return dg.MaterializeResult(
            metadata=_metadata(log, refined) | {"uri": bucket.uri(rounds_key(campaign, policy))}
        )


def _check_share(refined: Refined, quarantine: Path, limit: float) -> None:
    rows = refined.rounds + refined.quarantined
    if rows == 0:
        raise PipelineError("the log has a header and no rows.")
    if refined.rounds == 0 or refined.quarantined > limit * rows:
        commonest = pl.read_parquet(quarantine, columns=["reason"])["reason"].value_counts(sort=True)
        why = f"; most often: {commonest['reason'][0]}" if len(commonest) else ""
        raise PipelineError(f"{refined.quarantined:,} of {rows:,} rows are not valid, at most {limit:.2%} may be{why}.")


def _store(bucket: Bucket, key: str, file: Path) -> None:
    with file.open("rb") as stream:
        bucket.upload(key, stream)


def _metadata(log: pl.DataFrame, refined: Refined) -> dict[str, dg.MetadataValue]:
    clicked = log.group_by("arm").agg(rounds=pl.len(), clicks=pl.col("reward").sum().cast(pl.Int64))
    clicked = clicked.with_columns(click_rate=pl.col("clicks") / pl.col("rounds")).sort(
        "clicks", "arm", descending=[True, False]
    )
    return {
        "dagster/row_count": dg.MetadataValue.int(refined.rounds),
        "quarantined": dg.MetadataValue.int(refined.quarantined),
        "clicks": dg.MetadataValue.int(int(clicked["clicks"].sum())),
        "arms": dg.MetadataValue.int(len(clicked)),
        "smallest propensity": dg.MetadataValue.float(float(log["propensity"].to_numpy().min())),
        "arms with most clicks": markdown(clicked.head(10)),
    }
