"""Snapshots are exact folds of events, at the position that Postgres has come to."""

from collections.abc import Callable

import polars as pl

from bandit_pipeline.resources import BanditService, Postgres
from bandit_pipeline.resources.postgres import fetch
from bandit_pipeline.snapshots.taking import due, take

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]


def stored(postgres: Postgres, experiment_id: str) -> pl.DataFrame:
    query = "SELECT seq, arm, alpha_micro, beta_micro, decisions FROM posterior_snapshots WHERE experiment_id = %(id)s"
    with postgres.transaction() as connection:
        return pl.DataFrame(fetch(connection, query, {"id": experiment_id})).sort("seq", "arm")


def names_due(postgres: Postgres, min_events: int) -> set[str]:
    return {row["experiment_id"] for row in due(postgres, min_events)}


def test_a_snapshot_equals_what_the_service_believes(
    service: BanditService, service_postgres: Postgres, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment(arms=["a", {"id": "b", "prior": {"alpha": 2.5, "beta": 10}}])
    for _ in range(2):
        visit(name, 60)
        take(service_postgres, min_events=1)
        with service.client() as client:
            believed = client.get(f"/experiments/{name}/posterior")["arms"]
        newest = stored(service_postgres, name).tail(2)
        assert newest["alpha_micro"].to_list() == [round(arm["alpha"] * 1e6) for arm in believed]
        assert newest["beta_micro"].to_list() == [round(arm["beta"] * 1e6) for arm in believed]
        assert newest["decisions"].to_list() == [arm["decisions"] for arm in believed]


def test_an_experiment_is_due_after_so_many_events_and_not_twice(
    service_postgres: Postgres, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment()
    visit(name, 1)
    take(service_postgres, min_events=1)
    visit(name, 30)
    assert name not in names_due(service_postgres, 100)
    visit(name, 30)
    assert name in names_due(service_postgres, 100)
    assert name in take(service_postgres, min_events=100)["experiment_id"]
    before = stored(service_postgres, name)
    assert name not in take(service_postgres, min_events=1)["experiment_id"]
    assert stored(service_postgres, name).equals(before)
