"""A failure names the asset, the cause and what to do."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from bandit_local.servers.local_server import free_port
from bandit_pipeline.obd.store import raw_key, rounds_key
from bandit_pipeline.resources import BanditService, Bucket, Postgres, Tracking
from bandit_pipeline.resources import service as service_module
from bandit_sdk import Retries

type Execute = Callable[..., dg.ExecuteInProcessResult]

LOG = dg.MultiPartitionKey({"campaign": "men", "policy": "random"})


def failure(result: dg.ExecuteInProcessResult) -> str:
    [failed] = [event for event in result.all_events if event.is_step_failure]
    description = failed.step_failure_data.user_failure_data
    assert description is not None, failed.step_failure_data.error
    return str(description.description)


def fail(execute: Execute, job: str, partition: str | None = None, **resources: Any) -> str:
    return failure(execute(job, partition, raise_on_error=False, **resources))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "RETRIES", Retries(attempts=2, base=0.001, cap=0.001))


def test_a_missing_bucket(execute: Execute, bucket: Bucket) -> None:
    missing = Bucket(**bucket.model_dump() | {"name": "nowhere"})
    assert fail(execute, "ingest_obp", LOG, bucket=missing).startswith(
        "obd_raw [men|random]: the bucket 'nowhere' does not exist; create it"
    )


def test_an_unreachable_s3(execute: Execute, bucket: Bucket) -> None:
    away = Bucket(**bucket.model_dump() | {"endpoint": f"http://127.0.0.1:{free_port()}"})
    assert "obd_raw [men|random]: S3 does not answer at http" in fail(execute, "ingest_obp", LOG, bucket=away)


def test_raw_files_that_are_not_there(execute: Execute) -> None:
    said = fail(execute, "evaluate_ope", "men")
    assert said.startswith("ope [men]: s3://")
    assert said.endswith("silver/obp/random/men/rounds.parquet is not there; materialize the asset that writes it.")


def test_a_log_without_rounds(execute: Execute, bucket: Bucket) -> None:
    columns = ("round", "timestamp", "arm", "position", "reward", "propensity")
    bucket.put_frame(rounds_key("men", "random"), pl.DataFrame(schema=dict.fromkeys(columns, pl.Int64)))
    assert fail(execute, "compute_regret", "men").endswith(
        "holds no rounds; materialize obd_rounds from a log that has some."
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b",timestamp,item_id\n0,2019-11-24 00:03", "men.csv is cut short: its last line holds 2 of 3 fields"),
        (b",timestamp,item_id\n0,2019-11-24 00:03:24+00:00,1\n", "men.csv has another schema"),
        (b",timestamp,item_id\n", "men.csv has a header and no rows"),
        (gzip.compress(b",timestamp,item_id\n0,2019-11-24,1\n", mtime=0), "men.csv is compressed with gzip: unpack it"),
    ],
    ids=["cut short", "another schema", "no rows", "compressed"],
)
def test_a_truncated_csv_and_a_wrong_schema(
    execute: Execute, bucket: Bucket, content: bytes, said: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("source") / "random" / "men"
    folder.mkdir(parents=True)
    (folder / "men.csv").write_bytes(content)
    (folder / "item_context.csv").write_bytes(b"")
    source = {"obd_raw": {"source": str(folder.parent.parent)}}
    assert failure(execute("ingest_obp", LOG, source, raise_on_error=False)).startswith(
        f"obd_rounds [men|random]: {said}"
    )
    assert bucket.get(raw_key("men", "random", "men.csv")) == content


@pytest.mark.usefixtures("impatient")
def test_an_unreachable_service(execute: Execute) -> None:
    away = BanditService(url=f"http://127.0.0.1:{free_port()}")
    assert fail(execute, "conclude_experiments", service=away).startswith(
        "conclusions: bandit-service did not answer after 2 attempts"
    )


def test_an_unreachable_postgres_and_one_without_its_schema(execute: Execute, empty_postgres: Postgres) -> None:
    away = Postgres(dsn=f"postgresql://bandit@127.0.0.1:{free_port()}/bandit")
    assert "posterior_snapshots: Postgres does not do its part" in fail(execute, "snapshot_posteriors", postgres=away)
    assert "with `bandit-service migrate`" in fail(execute, "export_decisions", postgres=empty_postgres)


def test_an_mlflow_that_cannot_be_used(
    execute: Execute, service: BanditService, new_experiment: Callable[..., str], tmp_path: Path
) -> None:
    with service.client() as client:
        client.experiments.conclude(new_experiment(), winner="a", reason="a test")
    (tmp_path / "file").touch()
    broken = Tracking(uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    assert fail(execute, "conclude_experiments", tracking=broken).startswith("conclusions: MLflow does not do its part")
