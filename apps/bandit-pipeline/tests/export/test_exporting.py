"""Every decision stands in exactly one file, once, with what came of it so far."""

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from bandit_pipeline.export.exporting import SCHEMA, Written, export, file_key, folder
from bandit_pipeline.resources import Bucket, Postgres
from bandit_pipeline.resources.postgres import fetch

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]
type Reward = Callable[[list[str]], None]


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


def test_without_news_nothing_is_written(
    service_postgres: Postgres, bucket: Bucket, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment()
    visit(name, 3)
    assert len(written(service_postgres, bucket, name)) == 1
    assert written(service_postgres, bucket, name) == []


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


def test_only_the_days_of_changed_decisions_are_written(postgres: Postgres, bucket: Bucket) -> None:
    def add(decision: str, kind: str, day: int, seq: int, reward: int | None = None) -> None:
        at = datetime(2026, 11, day, 12, tzinfo=UTC)
        with postgres.transaction() as connection:
            fetch(connection, EVENT, {"id": decision, "kind": kind, "at": at, "seq": seq, "reward": reward})

    with postgres.transaction() as connection:
        connection.execute(SETUP)
    add("first", "decision", 1, 1)
    add("second", "decision", 2, 2)
    assert [each.day for each in export(postgres, bucket)] == ["2026-11-01", "2026-11-02"]
    add("first", "reward", 1, 3, 250_000)
    assert list(export(postgres, bucket)) == [Written("x", "2026-11-01", 1, 1)]
    assert exported(bucket, "x").sort("decision_id")["reward"].to_list() == [0.25, None]


SETUP = b"""
    INSERT INTO namespaces (name, unit_salt) VALUES ('default', 'x');
    INSERT INTO experiments (id, namespace, status, revision, definition) VALUES ('x', 'default', 'running', 1, '{}');
    INSERT INTO experiment_arms VALUES ('x', 0, 'a', 1000000, 1000000, 'active');
    INSERT INTO event_positions (experiment_id) VALUES ('x');
"""
EVENT = """
    WITH position AS (UPDATE event_positions SET committed_seq = %(seq)s)
    INSERT INTO bandit_events (
        experiment_id, decision_id, kind, decision_time, event_time, epoch, seq, arm_index, stratum, propensity,
        reward_micro
    )
    VALUES ('x', %(id)s, %(kind)s, %(at)s, %(at)s, 0, %(seq)s, 0, 'bandit', 0.5, %(reward)s)
    RETURNING decision_id
"""
