"""Snapshots are the posteriors of the ledger, taken again only after something has happened."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from bandit_pipeline.resources import BanditService, Postgres
from bandit_pipeline.resources.postgres import fetch
from bandit_pipeline.snapshots.taking import due, take

SETUP = b"""
    INSERT INTO namespaces (name, unit_salt) VALUES ('default', 'x');
    INSERT INTO experiments (id, namespace, status, revision, definition) VALUES
        ('beta', 'default', 'running', 1, '{}'),
        ('gauss', 'default', 'running', 1, '{"rewards": {"distribution": "gaussian", "unit": 10}}'),
        ('idle', 'default', 'running', 1, '{}');
    INSERT INTO experiment_arms VALUES
        ('beta', 0, 'a', 1000000, 1000000, 'active'), ('beta', 1, 'b', 2500000, 10000000, 'active'),
        ('gauss', 0, 'a', 1000000, 1000000, 'active'), ('idle', 0, 'a', 1000000, 1000000, 'active');
"""
TOTALS = """
    INSERT INTO arm_totals VALUES (%(id)s, %(arm)s, 'bandit', %(segment)s, 1, %(slot)s, %(decisions)s, %(rewards)s,
        %(reward_micro)s, %(square_micro)s)
"""

type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]
type Add = Callable[..., None]


@pytest.fixture
def add(postgres: Postgres) -> Add:
    """Add totals of an arm, as another segment and slot each time."""
    with postgres.transaction() as connection:
        connection.execute(SETUP)
    slots = iter(range(100))

    def add(name: str, arm: int, **sums: int) -> None:
        values: dict[str, Any] = {"decisions": 0, "rewards": 0, "reward_micro": 0, "square_micro": 0} | sums
        slot = next(slots)
        with postgres.transaction() as connection:
            connection.execute(TOTALS, values | {"id": name, "arm": arm, "slot": slot, "segment": str(slot)})

    return add


def stored(postgres: Postgres, experiment_id: str) -> pl.DataFrame:
    query = "SELECT * FROM posterior_snapshots WHERE experiment_id = %(id)s"
    with postgres.transaction() as connection:
        return pl.DataFrame(fetch(connection, query, {"id": experiment_id})).sort("taken_at", "arm")


def names_due(postgres: Postgres, min_events: int) -> set[str]:
    return {row["experiment_id"] for row in due(postgres, min_events)}


def test_a_snapshot_is_prior_plus_totals(postgres: Postgres, add: Add) -> None:
    add("beta", 0, decisions=5, rewards=4, reward_micro=1_000_000)
    add("beta", 0, decisions=2, rewards=1, reward_micro=500_000)
    taken = take(postgres, min_events=1)
    a, b = stored(postgres, "beta").to_dicts()
    assert (a["alpha_micro"], a["beta_micro"], a["decisions"], a["rewards"]) == (2_500_000, 4_500_000, 7, 5)
    assert (b["alpha_micro"], b["beta_micro"], b["decisions"]) == (2_500_000, 10_000_000, 0)
    assert taken["experiment_id"].to_list() == ["beta", "beta"]
    assert taken["mean"].to_list() == pytest.approx([2.5 / 7.0, 0.2])


def test_gaussian_sums_have_no_prior_and_no_mean(postgres: Postgres, add: Add) -> None:
    add("gauss", 0, decisions=2, rewards=2, reward_micro=-3_000_000, square_micro=5_000_000)
    taken = take(postgres, min_events=1)
    [row] = stored(postgres, "gauss").to_dicts()
    assert (row["alpha_micro"], row["beta_micro"]) == (-3_000_000, 5_000_000)
    assert taken["mean"].to_list() == [None]


def test_an_experiment_is_due_by_what_its_totals_moved(postgres: Postgres, add: Add) -> None:
    add("beta", 0, decisions=60, rewards=39)
    assert names_due(postgres, 100) == set()
    add("beta", 1, decisions=1)
    assert names_due(postgres, 100) == {"beta"}
    take(postgres, min_events=100)
    assert names_due(postgres, 1) == set()
    assert take(postgres, min_events=1).is_empty()
    add("beta", 1, rewards=3)
    assert names_due(postgres, 3) == {"beta"}


def test_totals_that_a_failover_set_back_are_due(postgres: Postgres, add: Add) -> None:
    add("beta", 0, decisions=10)
    take(postgres, min_events=1)
    with postgres.transaction() as connection:
        connection.execute("UPDATE arm_totals SET decisions = 4")
    assert [(row["events"], row["new_events"]) for row in due(postgres, 5)] == [(4, 6)]


def test_a_snapshot_equals_what_the_service_believes(
    service: BanditService, service_postgres: Postgres, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment(arms=["a", {"id": "b", "prior": {"alpha": 2.5, "beta": 10}}])
    for _ in range(2):
        visit(name, 60)
        take(service_postgres, min_events=1)
        with service.client() as client:
            believed = client.posterior(name).arms
        newest = stored(service_postgres, name).tail(2)
        assert newest["alpha_micro"].to_list() == [round((arm.alpha or 0.0) * 1e6) for arm in believed]
        assert newest["beta_micro"].to_list() == [round((arm.beta or 0.0) * 1e6) for arm in believed]
        assert newest["decisions"].to_list() == [arm.decisions for arm in believed]
