"""Every decision stands in exactly one file, once, with what came of it so far."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from bandit_pipeline.export.exporting import SCHEMA, Written, export, file_key, folder
from bandit_pipeline.resources import Bucket, Postgres
from bandit_pipeline.resources.postgres import fetch

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]
type Reward = Callable[[list[str]], None]
type Add = Callable[..., None]


def exported(bucket: Bucket, name: str) -> pl.DataFrame:
    keys = [key for key in bucket.listing(folder(name)) if key.endswith(".parquet")]
    return pl.concat([bucket.get_frame(key) for key in keys])


def written(postgres: Postgres, bucket: Bucket, name: str) -> list[Written]:
    return [each for each in export(postgres, bucket) if each.experiment_id == name]


def test_decisions_come_with_propensity_and_reward(
    service_postgres: Postgres, bucket: Bucket, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment(policy={"name": "fixed", "params": {"weights": {"a": 3, "b": 1}}})
    ids = visit(name, 30)
    written(service_postgres, bucket, name)
    found = exported(bucket, name)
    assert dict(found.schema) == SCHEMA
    assert sorted(found["decision_id"]) == sorted(ids)
    assert found.filter(pl.col("reward") == 1.0)["decision_id"].sort().to_list() == sorted(ids[::3])
    assert found.filter(pl.col("arm") == "a")["propensity"].unique().to_list() == pytest.approx([0.75])
    assert found["active"].all()


def test_a_reward_that_comes_later_appears_in_a_later_run(
    service_postgres: Postgres, bucket: Bucket, new_experiment: NewExperiment, visit: Visit, reward: Reward
) -> None:
    name = new_experiment()
    ids = visit(name, 6, rewards=False)
    written(service_postgres, bucket, name)
    assert exported(bucket, name)["reward"].null_count() == 6
    reward(ids)
    [again] = written(service_postgres, bucket, name)
    assert (again.decisions, again.rewards) == (6, 6)
    assert exported(bucket, name)["reward"].sum() == 2.0


def test_a_run_that_is_cut_off_loses_and_doubles_nothing(
    service_postgres: Postgres, bucket: Bucket, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment()
    ids = visit(name, 9)
    for each in export(service_postgres, bucket):
        if each.experiment_id == name:
            break  # the file is there, how far the export has come is not
    written(service_postgres, bucket, name)
    assert sorted(exported(bucket, name)["decision_id"]) == sorted(ids)


def test_a_file_that_went_missing_is_written_again(
    service_postgres: Postgres, bucket: Bucket, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment()
    ids = visit(name, 3)
    [file] = written(service_postgres, bucket, name)
    bucket._client().delete_object(Bucket=bucket.name, Key=file_key(name, file.day))
    written(service_postgres, bucket, name)
    assert sorted(exported(bucket, name)["decision_id"]) == sorted(ids)


SETUP = b"""
    INSERT INTO namespaces (name, unit_salt) VALUES ('default', 'x');
    INSERT INTO experiments (id, namespace, status, revision, definition) VALUES ('x', 'default', 'running', 1, '{}');
    INSERT INTO experiment_arms VALUES ('x', 0, 'a', 1000000, 1000000, 'active');
"""
EVENT = """
    INSERT INTO bandit_events (
        experiment_id, decision_id, kind, decision_time, event_time, recorded_at, batch, ord, arm_index, stratum,
        counted, propensity, deferred, filled, unit_hash, reward_micro
    )
    VALUES ('x', %(id)s, %(kind)s, %(at)s, %(at)s, now() - %(minutes_ago)s * interval '1 minute', 1, 0, 0, 'bandit',
        true, 0.5, %(deferred)s, %(filled)s, %(unit)s, %(reward)s)
    RETURNING decision_id
"""


@pytest.fixture
def add(postgres: Postgres) -> Add:
    """Add an event of a decision at noon of a day, recorded an hour ago unless told otherwise."""
    with postgres.transaction() as connection:
        connection.execute(SETUP)

    def add(decision: str, kind: str = "decision", day: int = 1, **fields: Any) -> None:
        values = {"id": decision, "kind": kind, "at": datetime(2026, 11, day, 12, tzinfo=UTC)}
        usual = {"minutes_ago": 60, "deferred": False, "filled": False, "unit": None, "reward": None}
        with postgres.transaction() as connection:
            fetch(connection, EVENT, usual | values | fields)

    return add


def test_only_the_days_of_changed_decisions_are_written(reader: Postgres, bucket: Bucket, add: Add) -> None:
    add("first", day=1)
    add("second", day=2)
    assert [each.day for each in export(reader, bucket)] == ["2026-11-01", "2026-11-02"]
    assert list(export(reader, bucket)) == []
    add("first", "reward", day=1, reward=250_000, minutes_ago=0)
    assert list(export(reader, bucket)) == [Written("x", "2026-11-01", 1, 1)]
    assert exported(bucket, "x").sort("decision_id")["reward"].to_list() == [0.25, None]


def test_what_was_committed_up_to_15_minutes_late_is_not_missed(reader: Postgres, bucket: Bucket, add: Add) -> None:
    add("first")
    assert len(list(export(reader, bucket))) == 1
    add("first", "reward", reward=1_000_000, minutes_ago=14)
    assert list(export(reader, bucket)) == [Written("x", "2026-11-01", 1, 1)]


def test_gaussian_rewards_are_as_they_were_sent(postgres: Postgres, reader: Postgres, bucket: Bucket, add: Add) -> None:
    add("in time")
    add("in time", "reward", reward=2_500_000)
    add("too late")
    add("too late", "late", reward=-300_000)
    with postgres.transaction() as connection:
        connection.execute(
            """UPDATE experiments SET definition = '{"rewards": {"distribution": "gaussian", "unit": 10.0}}'"""
        )
    assert len(list(export(reader, bucket))) == 1
    rows = exported(bucket, "x").select("decision_id", "reward", "late_reward").rows()
    assert rows == [("in time", 25.0, None), ("too late", None, -3.0)]


def test_closed_says_that_the_outcome_counted(reader: Postgres, bucket: Bucket, add: Add) -> None:
    add("open")
    add("rewarded")
    add("rewarded", "reward", reward=1_000_000)
    add("rewarded", "outcome", reward=1_000_000)
    add("missing")
    add("missing", "reward", reward=0, filled=True)
    add("missing", "outcome", reward=0)
    add("shown", deferred=True)
    add("shown", "activation")
    add("never", deferred=True)
    add("never", "activation", filled=True)
    assert [each.rewards for each in export(reader, bucket)] == [1]
    rows = exported(bucket, "x").sort("decision_id").select("decision_id", "reward", "active", "closed").rows()
    assert rows == [
        ("missing", None, True, True),
        ("never", None, False, False),
        ("open", None, True, False),
        ("rewarded", 1.0, True, True),
        ("shown", None, True, False),
    ]


def test_the_first_exposure_is_the_decision_that_exposures_name(
    postgres: Postgres, reader: Postgres, bucket: Bucket, add: Add
) -> None:
    add("first", unit=b"u")
    add("again", unit=b"u")
    add("nobody")
    with postgres.transaction() as connection:
        connection.execute(b"INSERT INTO exposures VALUES ('x', 'u', 'first', '2026-11-01 12:00Z', 'bandit')")
    assert len(list(export(reader, bucket))) == 1
    rows = exported(bucket, "x").select("decision_id", "first_exposure").sort("decision_id").rows()
    assert rows == [("again", False), ("first", True), ("nobody", None)]
