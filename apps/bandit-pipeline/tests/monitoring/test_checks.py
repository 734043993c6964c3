"""What the checks find in events, and what they leave alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bandit_pipeline.monitoring.checks import CHECKS, Limits, Sources, Window, examine, experiments
from bandit_pipeline.resources import BanditService, Postgres

LIMITS = Limits(alpha=0.001, missing=0.2)
WELL = {"dominant_arm": None, "entropy_status": "ok", "suggested_action": None}
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
RATIO = b"""
    INSERT INTO sample_ratios VALUES ('x', now(), '[
        {"arm_index": 0, "draws": 400, "represented": 800, "p_value": 1e-5},
        {"arm_index": 1, "draws": 200, "represented": 400, "p_value": 1}
    ]')
"""

type Add = Callable[..., None]
type NewExperiment = Callable[..., str]
type Visit = Callable[..., list[str]]


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


def findings(reader: Postgres) -> dict[str, str]:
    """Return the findings of the only experiment, whose traffic the service has nothing to say about."""
    with reader.transaction() as connection:
        [experiment] = experiments(connection)
        sources = Sources(connection, lambda _: WELL)
        return {found.check: found.finding for found in examine(sources, experiment, WINDOW, LIMITS)}


def test_an_experiment_that_is_well_has_no_findings(reader: Postgres, add: Add) -> None:
    add("a", 300, 0, 0.6)
    add("b", 200, 1, 0.4)
    assert findings(reader) == {}


def test_what_the_service_tested_is_told(postgres: Postgres, reader: Postgres, add: Add) -> None:
    add("a", 10, 0, 0.5)
    with postgres.transaction() as connection:
        connection.execute(RATIO)
    said = "arm a is drawn more often than its propensities say: its 400 decisions stand for 800 in all, there were 600"
    assert findings(reader)["sample_ratio"] == f"{said} (p = 1e-05)"


def test_traffic_that_one_arm_takes_is_told(
    service: BanditService, service_postgres: Postgres, new_experiment: NewExperiment, visit: Visit
) -> None:
    name = new_experiment(policy={"name": "fixed", "params": {"weights": {"a": 999, "b": 1}}})
    visit(name, 200)
    with service.client() as client, service_postgres.transaction() as connection:
        [experiment] = [each for each in experiments(connection) if each["experiment_id"] == name]
        sources = Sources(connection, client.report)
        found = {each.check: each.finding for each in examine(sources, experiment, recent(), LIMITS)}
    assert found["arm_dominance"] == "a has taken nearly all traffic of late: is it time to conclude?"
    assert found["entropy_collapse"].startswith("the entropy of selections is critical: raise min_weight")


def recent() -> Window:
    return Window(datetime.now(UTC), timedelta(days=1))


def test_a_reward_rate_that_drifts(reader: Postgres, add: Add) -> None:
    add("old-good", 200, 0, 0.5, hours_ago=50, reward=1.0)
    add("old-bad", 200, 1, 0.5, hours_ago=50, reward=1.0)
    add("older-bad", 200, 0, 0.5, hours_ago=50)
    add("older-b", 200, 1, 0.5, hours_ago=50)
    add("new", 200, 0, 0.5, reward=1.0)
    add("new-b", 200, 1, 0.5, reward=None)
    assert findings(reader)["reward_rate_drift"].startswith("a earns 1 per reward of late, 0.5 before")


def test_drift_is_told_in_the_units_of_rewards(postgres: Postgres, reader: Postgres, add: Add) -> None:
    with postgres.transaction() as connection:
        connection.execute(GAUSSIAN)
    for number, reward in enumerate((1.0, 2.0)):
        add(f"old{number}", 200, 0, 0.5, hours_ago=50, reward=reward)
        add(f"new{number}", 200, 0, 0.5, reward=reward + 2.0)
        add(f"b{number}", 200, 1, 0.5, reward=None)
    assert findings(reader)["reward_rate_drift"].startswith("a earns 35 per reward of late, 15 before")


def test_missing_rewards_count_once_their_window_is_closed(reader: Postgres, add: Add) -> None:
    add("a", 150, 0, 0.5)
    add("b", 150, 1, 0.5, reward=None, hours_ago=0.5)
    assert "missing_rewards" not in findings(reader)
    add("c", 150, 1, 0.5, reward=None)
    assert findings(reader)["missing_rewards"] == "50.0% of 300 decisions whose window closed got no reward"


def test_a_reward_that_the_closing_filled_in_is_missing(reader: Postgres, add: Add) -> None:
    add("a", 150, 0, 0.5)
    add("b", 150, 1, 0.5, filled=True)
    assert findings(reader)["missing_rewards"] == "50.0% of 300 decisions whose window closed got no reward"


def test_every_check_says_what_holds_when_it_passes() -> None:
    assert all(check.__doc__ for check in CHECKS.values())
