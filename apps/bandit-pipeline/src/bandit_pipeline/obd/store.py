"""Where the raw files and the rounds lie in the bucket, and how other assets read them."""

from collections.abc import Sequence

import polars as pl

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.resources import Bucket
from bandit_pipeline.resources.tracking import LoggedData


def raw_key(campaign: str, policy: str, file: str) -> str:
    return f"raw/obp/{policy}/{campaign}/{file}"


def rounds_key(campaign: str, policy: str) -> str:
    return f"silver/obp/{policy}/{campaign}/rounds.parquet"


def quarantine_key(campaign: str, policy: str) -> str:
    return f"silver/obp/{policy}/{campaign}/quarantine.parquet"


def read_log(bucket: Bucket, campaign: str, policy: str, *, features: Sequence[str] = ()) -> pl.DataFrame:
    """Return round, timestamp, arm, position, reward, propensity and `features` of a log, in the order of time.

    PipelineError for a log without rounds: nothing can be learnt from it.
    """
    columns = ["round", "timestamp", "arm", "position", "reward", "propensity", *features]
    key = rounds_key(campaign, policy)
    log = bucket.get_frame(key, columns)
    if log.is_empty():
        raise PipelineError(f"{bucket.uri(key)} holds no rounds; materialize obd_rounds from a log that has some.")
    return log.sort("timestamp", "round")


def logged_data(bucket: Bucket, campaign: str, policy: str) -> LoggedData:
    """Return what an MLflow run says about the log it has read."""
    key = rounds_key(campaign, policy)
    return LoggedData(f"obp-{policy}-{campaign}", bucket.digest(key), bucket.uri(key))
