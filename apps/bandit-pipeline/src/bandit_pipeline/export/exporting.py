"""Decisions with their rewards from Postgres to Parquet: a data set per experiment, a file per day of decisions.

A day is written again as a whole when anything has happened to its decisions, also a reward that came days later. So
every decision stands in exactly one file, once; and a run that is cut off leaves whole files, old or new. How far the
export has come is written last: cut off before that, the next run writes the same days again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl

from bandit_pipeline.resources import Bucket, Postgres
from bandit_pipeline.resources.postgres import Connection, Row, fetch, fetch_frame
from bandit_pipeline.sql import statement

ROOT: Final = "export/decisions"
TIME: Final = pl.Datetime("us", "UTC")
SCHEMA: Final[dict[str, Any]] = {
    "decision_id": pl.String,
    "position": pl.Int16,
    "decision_time": TIME,
    "arm": pl.String,
    "arm_index": pl.Int32,
    "stratum": pl.String,
    "propensity": pl.Float64,
    "weights_version": pl.Int64,
    "first_exposure": pl.Boolean,
    "context": pl.String,
    "active": pl.Boolean,
    "reward": pl.Float64,
    "reward_time": TIME,
    "late_reward": pl.Float64,
    "closed": pl.Boolean,
}


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written."""

    experiment_id: str
    day: str
    decisions: int
    rewards: int


def export(postgres: Postgres, bucket: Bucket) -> Iterator[Written]:
    """Bring every experiment's data set up to date and yield what was written."""
    with postgres.transaction() as connection:
        for experiment in fetch(connection, statement(__package__, "experiments")):
            yield from _export_one(connection, bucket, experiment)


def _export_one(connection: Connection, bucket: Bucket, experiment: Row) -> Iterator[Written]:
    name, known = experiment["experiment_id"], _Position.read(bucket, experiment["experiment_id"])
    if (known.epoch, known.seq) == (experiment["epoch"], experiment["seq"]):
        return
    since = {"experiment_id": name, "epoch": known.epoch, "seq": known.seq}
    days: list[date] = [row["day"] for row in fetch(connection, statement(__package__, "changed_days"), since)]
    for day in days:
        pairs = fetch_frame(connection, statement(__package__, "pairs"), SCHEMA, {"experiment_id": name, "day": day})
        bucket.put_frame(file_key(name, str(day)), pairs)
        yield Written(name, str(day), len(pairs), len(pairs) - pairs["reward"].null_count())
    _Position(experiment["epoch"], experiment["seq"], sorted({*known.days, *map(str, days)})).write(bucket, name)


def folder(experiment_id: str) -> str:
    return f"{ROOT}/experiment={experiment_id}/"


def file_key(experiment_id: str, day: str) -> str:
    return f"{folder(experiment_id)}date={day}/decisions.parquet"


@dataclass(frozen=True, slots=True)
class _Position:
    """How far an experiment's export has come, and the days it has files of."""

    epoch: int
    seq: int
    days: list[str]

    @classmethod
    def read(cls, bucket: Bucket, experiment_id: str) -> "_Position":
        """Return what was written last; from the beginning if nothing was, or if a file has gone missing since."""
        there = set(bucket.listing(folder(experiment_id)))
        key = _position_key(experiment_id)
        if key in there:
            found = cls(**json.loads(bucket.get(key)))
            if all(file_key(experiment_id, day) in there for day in found.days):
                return found
        return cls(-1, -1, [])

    def write(self, bucket: Bucket, experiment_id: str) -> None:
        content = {"epoch": self.epoch, "seq": self.seq, "days": self.days}
        bucket.put(_position_key(experiment_id), json.dumps(content).encode())


def _position_key(experiment_id: str) -> str:
    return f"{folder(experiment_id)}_position.json"
