"""Decisions with their rewards from Postgres to Parquet: a data set per experiment, a file per day of decisions.

A day is written again as a whole when anything has happened to its decisions since the last export or in the 15 minutes
before it, also a reward that came days later. So every decision stands in exactly one file, once; and a run that is cut
off leaves whole files, old or new. When the export read Postgres is written last: cut off before that, the next run
writes the same days again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
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
    name, known = experiment["experiment_id"], _Progress.read(bucket, experiment["experiment_id"])
    since = {"experiment_id": name, "since": known.read_at}
    days: list[date] = [row["day"] for row in fetch(connection, statement(__package__, "changed_days"), since)]
    for day in days:
        wanted = {"experiment_id": name, "day": day}
        decisions = fetch_frame(connection, statement(__package__, "decisions"), SCHEMA, wanted)
        bucket.put_frame(file_key(name, str(day)), decisions)
        yield Written(name, str(day), len(decisions), len(decisions) - decisions["reward"].null_count())
    if days:
        _Progress(experiment["read_at"], sorted({*known.days, *map(str, days)})).write(bucket, name)


def folder(experiment_id: str) -> str:
    return f"{ROOT}/experiment={experiment_id}/"


def file_key(experiment_id: str, day: str) -> str:
    return f"{folder(experiment_id)}date={day}/decisions.parquet"


@dataclass(frozen=True, slots=True)
class _Progress:
    """When the last export that wrote something read Postgres, by its clock, and the days there are files of."""

    read_at: datetime | None
    days: list[str]

    @classmethod
    def read(cls, bucket: Bucket, experiment_id: str) -> "_Progress":
        """Return what was written last; from the beginning if nothing was, or if a file has gone missing since."""
        there = set(bucket.listing(folder(experiment_id)))
        key = _progress_key(experiment_id)
        if key in there:
            found = json.loads(bucket.get(key))
            if all(file_key(experiment_id, day) in there for day in found["days"]):
                return cls(datetime.fromisoformat(found["read_at"]), found["days"])
        return cls(None, [])

    def write(self, bucket: Bucket, experiment_id: str) -> None:
        content = {"read_at": self.read_at and self.read_at.isoformat(), "days": self.days}
        bucket.put(_progress_key(experiment_id), json.dumps(content).encode())


def _progress_key(experiment_id: str) -> str:
    return f"{folder(experiment_id)}_progress.json"
