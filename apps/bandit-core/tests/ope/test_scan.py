"""A scan in batches says what the estimators say of the same rows in memory."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from moto.server import ThreadedMotoServer
from numpy.typing import NDArray

from bandit_core.ope.estimators import Method
from bandit_core.ope.evaluation import estimate_all
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.result import OPEResult
from bandit_core.ope.scan import SufficientStatistics, scan

ROWS, ARMS, POSITIONS = 10_000, 5, 3
METHODS = [Method("ipw"), Method("ipw", 2.0), Method("snipw"), Method("dr"), Method("sndr", 3.0), Method("dm")]
TARGET = np.array([[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.6], [0.2, 0.2, 0.2, 0.2, 0.2]])
Q_HAT = np.linspace(0.02, 0.2, POSITIONS * ARMS).reshape(POSITIONS, ARMS)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    shares = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    arms = rng.choice(ARMS, ROWS, p=shares)
    return pl.DataFrame(
        {
            "arm": arms.astype(np.int16),
            "reward": (rng.random(ROWS) < 0.1).astype(np.uint8),
            "propensity": shares[arms],
            "position": rng.integers(0, POSITIONS, ROWS).astype(np.int8),
            "age": rng.random(ROWS),
        }
    )


@pytest.fixture(scope="module")
def file(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    frame.write_parquet(path, row_group_size=1_500)
    return path


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """A bucket called `logs` on an S3 server, as the storage options that reach it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "aws_region": "us-east-1",
        "aws_endpoint_url": f"http://{host}:{port}",
        "aws_allow_http": "true",
    }
    with urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/logs", method="PUT")):
        yield options
    server.stop()


def in_memory(frame: pl.DataFrame, target: NDArray[np.float64], q_hat: NDArray[np.float64]) -> list[OPEResult]:
    log = LoggedDecisions.from_frame(frame, n_arms=ARMS)
    return estimate_all(log, target, methods=METHODS, q_hat=q_hat)


def assert_same(statistics: SufficientStatistics, expected: list[OPEResult]) -> None:
    for found, wanted in zip(statistics.results(), expected, strict=True):
        assert (found.method, found.n, found.warnings) == (wanted.method, wanted.n, wanted.warnings)
        for name in ("estimate", "std_error", "ess", "coverage"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9)
        assert found.interval is not None
        assert wanted.interval is not None
        assert found.interval.low == pytest.approx(wanted.interval.low, rel=1e-9)


@pytest.mark.parametrize("batch_rows", [700, 4_000, 100_000])
def test_it_agrees_with_the_estimators_in_memory(file: Path, frame: pl.DataFrame, batch_rows: int) -> None:
    found = scan(file, TARGET, methods=METHODS, q_hat=Q_HAT, n_positions=POSITIONS, batch_rows=batch_rows)
    assert found.n == ROWS
    assert_same(found, in_memory(frame, TARGET, Q_HAT))


def policy_by_age(batch: pl.DataFrame) -> NDArray[np.float64]:
    age = batch["age"].to_numpy()
    others = np.tile((1 - age)[:, None] / (ARMS - 1), ARMS - 1)
    return np.column_stack([age, others])


def test_target_and_model_may_depend_on_the_context(file: Path, frame: pl.DataFrame) -> None:
    found = scan(file, policy_by_age, methods=METHODS, q_hat=policy_by_age, contexts=["age"], batch_rows=900)
    target = policy_by_age(frame)
    assert_same(found, in_memory(frame.drop("position"), target, target))


def test_a_log_on_s3_is_read_in_place(frame: pl.DataFrame, bucket: dict[str, str]) -> None:
    frame.write_parquet("s3://logs/obd/log.parquet", row_group_size=1_500, storage_options=bucket)
    found = scan(
        "s3://logs/obd/log.parquet",
        TARGET,
        methods=METHODS,
        q_hat=Q_HAT,
        n_positions=POSITIONS,
        storage_options=bucket,
    )
    assert_same(found, in_memory(frame, TARGET, Q_HAT))


def test_parts_scanned_apart_merge_in_any_order(file: Path, frame: pl.DataFrame) -> None:
    log = pl.scan_parquet(file)
    first, second = (
        scan(part, TARGET, methods=METHODS, q_hat=Q_HAT, n_positions=POSITIONS)
        for part in (log.head(3_333), log.slice(3_333))
    )
    assert_same(second.merge(first), in_memory(frame, TARGET, Q_HAT))
    with pytest.raises(ValueError, match="same methods"):
        first.merge(scan(log, TARGET, methods=METHODS[:1], n_positions=POSITIONS))


def test_arms_may_be_names_in_the_order_that_is_given(frame: pl.DataFrame) -> None:
    """Batches of a log may lack arms, so their order cannot be found in each."""
    names = ["red", "green", "blue", "grey", "pink"]
    named = frame.with_columns(arm=pl.Series([names[arm] for arm in frame["arm"]]))
    for source in (named, named.lazy()):
        found = scan(
            source, TARGET, methods=METHODS, q_hat=Q_HAT, n_positions=POSITIONS, arm_names=names, batch_rows=50
        )
        assert_same(found, in_memory(frame, TARGET, Q_HAT))
    with pytest.raises(ValueError, match="give arm_names, the names of all 5 arms"):
        scan(named, TARGET[0], methods=METHODS[:1])


def test_progress_is_told(file: Path) -> None:
    told: list[tuple[int, int]] = []
    scan(file, TARGET[0], methods=METHODS[:1], batch_rows=4_000, progress=lambda *rows: told.append(rows))
    assert told == [(4_000, ROWS), (8_000, ROWS), (ROWS, ROWS)]


def test_an_adaptive_log_is_said_to_be_one(file: Path) -> None:
    found = scan(file, TARGET[0], methods=METHODS[:1])
    assert any("confidence sequence" in warning for warning in found.results(adaptive=True)[0].warnings)


def test_what_cannot_be_scanned_is_refused_with_its_rows(file: Path) -> None:
    log = pl.scan_parquet(file)
    broken = log.with_columns(propensity=pl.when(pl.int_range(pl.len()) == 6_000).then(0.0).otherwise("propensity"))
    with pytest.raises(ValueError, match=r"in the batch of rows 4,000 to 7,999: propensities must be in \(0, 1\]"):
        scan(broken, TARGET[0], methods=METHODS[:1], batch_rows=4_000)
    with pytest.raises(ValueError, match="the log has no rows"):
        scan(log.head(0), TARGET[0], methods=METHODS[:1])
    with pytest.raises(ValueError, match="arm of row 0 is null, as in 1 of 1 rows"):
        scan(log.head(1).with_columns(arm=pl.lit(None)), TARGET[0], methods=METHODS[:1])
    with pytest.raises(ValueError, match="a scan reads Parquet files or a frame of Polars, got DataFrame: for a frame"):
        scan(pd.DataFrame({"arm": [0]}), TARGET[0], methods=METHODS[:1])
    with pytest.raises(ValueError, match="at least one method"):
        scan(log, TARGET[0], methods=[])
    with pytest.raises(ValueError, match=r"arms must be in \[0, 2\)"):
        scan(log, [0.5, 0.5], methods=METHODS[:1])
