"""The service takes the snapshots that are due, and what they hold is what it believes."""

from collections.abc import Callable

import polars as pl
import pytest

from bandit_pipeline.resources import BanditService, Postgres
from bandit_pipeline.resources.postgres import fetch
from bandit_pipeline.snapshots.taking import due, take

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]


@pytest.fixture
def take_all(service: BanditService, service_postgres: Postgres) -> Callable[[], pl.DataFrame]:
    """Have every snapshot taken that is due after one event."""

    def taken() -> pl.DataFrame:
        with service.client() as client:
            return take(client, service_postgres, min_events=1)

    return taken


def new_events(postgres: Postgres, name: str) -> int:
    return next((row["new_events"] for row in due(postgres, 1) if row["experiment_id"] == name), 0)


def test_an_experiment_is_due_by_what_its_totals_moved(
    service_postgres: Postgres, new_experiment: NewExperiment, visit: Visit, take_all: Callable[[], pl.DataFrame]
) -> None:
    name = new_experiment()
    visit(name, 30)
    assert new_events(service_postgres, name) == 60
    assert name in take_all()["experiment_id"].to_list()
    assert new_events(service_postgres, name) == 0
    assert name not in take_all()["experiment_id"].to_list()


def test_totals_that_a_failover_set_back_are_due(postgres: Postgres, reader: Postgres) -> None:
    with postgres.transaction() as connection:
        connection.execute(b"""
            INSERT INTO namespaces (name, unit_salt) VALUES ('default', 'x');
            INSERT INTO experiments (id, namespace, status, revision, definition)
                VALUES ('x', 'default', 'running', 1, '{}');
            INSERT INTO experiment_arms VALUES ('x', 0, 'a', 1000000, 1000000, 'active');
            INSERT INTO arm_totals VALUES ('x', 0, 'bandit', '', 1, 0, 10, 0, 0, 0);
            SELECT take_posterior_snapshot('x');
            UPDATE arm_totals SET decisions = 4;
        """)
    assert [(row["events"], row["new_events"]) for row in due(reader, 5)] == [(4, 6)]


@pytest.mark.parametrize("rewards", [None, {"distribution": "gaussian", "unit": 10.0}])
def test_a_snapshot_equals_what_the_service_believes(
    rewards: dict[str, object] | None,
    service: BanditService,
    service_postgres: Postgres,
    new_experiment: NewExperiment,
    visit: Visit,
    take_all: Callable[[], pl.DataFrame],
) -> None:
    settings = {} if rewards is None else {"rewards": rewards}
    name = new_experiment(
        arms=["a", {"id": "b", "prior": {"alpha": 2.5, "beta": 10}}] if rewards is None else ["a", "b"], **settings
    )
    for _ in range(2):
        visit(name, 60)
        taken = take_all().filter(pl.col("experiment_id") == name)
        with service.client() as client:
            believed = client.posterior(name).arms
        newest = stored(service_postgres, name).tail(2)
        for column, of in (
            ("alpha", "alpha"),
            ("beta", "beta"),
            ("decisions", "decisions"),
            ("reward_sum", "reward_sum"),
        ):
            for found, arm in zip(newest[column].to_list(), believed, strict=True):
                expected = getattr(arm, of)
                assert found == (expected if expected is None else pytest.approx(expected, rel=1e-9))
        # What the service has just taken by itself is not due again.
        if taken.is_empty():
            continue
        assert taken["decisions"].to_list() == [arm.decisions for arm in believed]
        assert taken["mean"].to_list() == [None if arm.alpha is None else pytest.approx(arm.mean) for arm in believed]


def stored(postgres: Postgres, experiment_id: str) -> pl.DataFrame:
    query = "SELECT * FROM posterior_snapshots_v1 WHERE experiment_id = %(id)s ORDER BY taken_at, arm_index"
    with postgres.transaction() as connection:
        return pl.DataFrame(fetch(connection, query, {"id": experiment_id}))
