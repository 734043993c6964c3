"""What the checks find in events, and what they leave alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bandit_pipeline.monitoring.checks import CHECKS, Limits, Window, examine, experiments
from bandit_pipeline.resources import Postgres
from bandit_pipeline.resources.postgres import fetch
from bandit_pipeline.sql import statement

LIMITS = Limits(alpha=0.001, dominance=0.95, entropy=0.1, missing=0.2)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
WINDOW = Window(NOW, timedelta(days=1))
SETUP = b"""
    INSERT INTO namespaces (name, unit_salt) VALUES ('default', 'x');
    INSERT INTO experiments (id, namespace, status, revision, definition)
        VALUES ('x', 'default', 'running', 1, '{"missing_reward": "ignore", "reward_window": 3600}');
    INSERT INTO experiment_arms VALUES ('x', 0, 'a', 1, 1, 'active'), ('x', 1, 'b', 1, 1, 'active');
"""
DECISIONS = """
    INSERT INTO bandit_events (
        experiment_id, decision_id, kind, decision_time, event_time, batch, ord, arm_index, stratum, counted, filled,
        propensity, unit_hash, reward_micro
    )
    SELECT 'x', %(name)s || n, kind, %(at)s, %(at)s, 1, n, %(arm)s, 'bandit', true, %(filled)s AND kind = 'reward',
        %(propensity)s, %(unit)s, CASE WHEN kind = 'reward' THEN %(reward)s * 1000000 END
    FROM generate_series(1, %(number)s) AS n, unnest(%(kinds)s::text[]) AS kind
"""
GAUSSIAN = b"""
    UPDATE experiments SET definition = definition || '{"rewards": {"distribution": "gaussian", "unit": 10}}'
"""
EXPOSURE = """
    INSERT INTO exposures (experiment_id, unit_hash, decision_id, decision_time, stratum)
    VALUES ('x', 'u', %(decision_id)s, %(at)s, 'bandit')
"""

type Add = Callable[..., None]


@pytest.fixture
def add(postgres: Postgres) -> Add:
    """Add decisions of an arm, with a reward each unless told otherwise."""
    with postgres.transaction() as connection:
        connection.execute(SETUP)

    def add(
        name: str,
        number: int,
        arm: int,
        propensity: float,
        *,
        hours_ago: float = 2.0,
        reward: float | None = 0.0,
        unit: bytes | None = None,
        filled: bool = False,
    ) -> None:
        kinds = ["decision"] if reward is None else ["decision", "reward"]
        at = NOW - timedelta(hours=hours_ago)
        values: dict[str, Any] = {"name": name, "number": number, "arm": arm, "propensity": propensity, "at": at}
        values |= {"unit": unit, "filled": filled}
        with postgres.transaction() as connection:
            connection.execute(DECISIONS.encode(), values | {"kinds": kinds, "reward": reward})

    return add


def findings(postgres: Postgres) -> dict[str, str]:
    with postgres.transaction() as connection:
        [experiment] = experiments(connection)
        return {found.check: found.finding for found in examine(connection, experiment, WINDOW, LIMITS)}


def test_an_experiment_that_is_well_has_no_findings(postgres: Postgres, add: Add) -> None:
    add("a", 300, 0, 0.6)
    add("b", 200, 1, 0.4)
    assert findings(postgres) == {}


def test_an_arm_served_more_often_than_logged(postgres: Postgres, add: Add) -> None:
    add("a", 400, 0, 0.5)
    add("b", 200, 1, 0.5)
    assert findings(postgres)["sample_ratio"].startswith("arm 0 is drawn more often than its propensities say: its 400")


def test_a_unit_that_returns_is_one_draw(postgres: Postgres, add: Add) -> None:
    add("a", 400, 0, 0.5, unit=b"u")
    with postgres.transaction() as connection:
        connection.execute(EXPOSURE, {"decision_id": "a1", "at": NOW - timedelta(hours=2)})
    assert findings(postgres).keys() == {"arm_dominance"}
    with postgres.transaction() as connection:
        [draws] = fetch(connection, statement("bandit_pipeline.monitoring", "draws"), {"experiment_id": "x"})
    assert draws["decisions"] == 1


def test_a_dominating_arm(postgres: Postgres, add: Add) -> None:
    add("a", 990, 0, 0.99)
    add("b", 10, 1, 0.01)
    assert findings(postgres)["arm_dominance"].startswith("a got 99.0% of 1,000 decisions")


def test_collapsed_weights(postgres: Postgres, add: Add) -> None:
    add("a", 1, 0, 0.5)
    with postgres.transaction() as connection:
        connection.execute(
            b"INSERT INTO allocations VALUES ('x', 1, now(), 1, '{\"a\": 0.999, \"b\": 0.001}', '{}', '{}', '{}', '')"
        )
    assert "of the largest possible" in findings(postgres)["entropy_collapse"]


def test_a_reward_rate_that_drifts(postgres: Postgres, add: Add) -> None:
    add("old-good", 200, 0, 0.5, hours_ago=50, reward=1.0)
    add("old-bad", 200, 1, 0.5, hours_ago=50, reward=1.0)
    add("older-bad", 200, 0, 0.5, hours_ago=50)
    add("older-b", 200, 1, 0.5, hours_ago=50)
    add("new", 200, 0, 0.5, reward=1.0)
    add("new-b", 200, 1, 0.5, reward=None)
    assert findings(postgres)["reward_rate_drift"].startswith("a earns 1 per reward of late, 0.5 before")


def test_drift_is_told_in_the_units_of_rewards(postgres: Postgres, add: Add) -> None:
    with postgres.transaction() as connection:
        connection.execute(GAUSSIAN)
    for number, reward in enumerate((1.0, 2.0)):
        add(f"old{number}", 200, 0, 0.5, hours_ago=50, reward=reward)
        add(f"new{number}", 200, 0, 0.5, reward=reward + 2.0)
        add(f"b{number}", 200, 1, 0.5, reward=None)
    assert findings(postgres)["reward_rate_drift"].startswith("a earns 35 per reward of late, 15 before")


def test_missing_rewards_count_once_their_window_is_closed(postgres: Postgres, add: Add) -> None:
    add("a", 150, 0, 0.5)
    add("b", 150, 1, 0.5, reward=None, hours_ago=0.5)
    assert "missing_rewards" not in findings(postgres)
    add("c", 150, 1, 0.5, reward=None)
    assert findings(postgres)["missing_rewards"] == "50.0% of 300 decisions whose window closed got no reward"


def test_a_reward_that_the_closing_filled_in_is_missing(postgres: Postgres, add: Add) -> None:
    add("a", 150, 0, 0.5)
    add("b", 150, 1, 0.5, filled=True)
    assert findings(postgres)["missing_rewards"] == "50.0% of 300 decisions whose window closed got no reward"


def test_every_check_says_what_holds_when_it_passes() -> None:
    assert all(check.__doc__ for check in CHECKS.values())
