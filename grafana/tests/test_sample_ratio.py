"""The sample ratio tells draws that follow their weights from draws that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dashboards.alerts import SAMPLE_RATIO_LIMIT
from dashboards.queries import SAMPLE_RATIO, SAMPLE_RATIO_OF_ALL, sql

if TYPE_CHECKING:
    from conftest import Ask, Platform

DRAW = """
    INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, batch, ord, arm_index,
        stratum, counted, weights_version, unit_hash)
    SELECT 'idle', 'drawn ' || n, 'decision', now(), now(), 1, n, CASE WHEN n <= %(first)s THEN 0 ELSE 1 END, 'bandit',
        true, (SELECT max(weights_version) FROM allocations WHERE experiment_id = 'idle'), %(unit)s
    FROM generate_series(1, 1000) AS n
"""
EXPOSURE = b"""
    INSERT INTO exposures (experiment_id, unit_hash, decision_id, decision_time, stratum)
    VALUES ('idle', 'unit', 'drawn 1', now(), 'bandit')
"""


def test_draws_of_the_service_follow_their_weights(ask: Ask) -> None:
    rows = ask(sql("sample_ratio", SAMPLE_RATIO))
    assert sum(row["observed"] for row in rows) == 1_000
    assert sum(row["expected"] for row in rows) == pytest.approx(1_000)
    assert max(row["deviation"] for row in rows) < SAMPLE_RATIO_LIMIT


@pytest.mark.parametrize(("first", "fires"), [(500, False), (530, False), (620, True), (1_000, True)])
def test_the_alert_fires_when_equal_weights_give_unequal_shares(
    first: int,
    fires: bool,  # noqa: FBT001
    platform: Platform,
    ask: Ask,
) -> None:
    with platform.transaction() as connection:
        connection.execute(DRAW, {"first": first, "unit": None})
        rows = {
            row["experiment"]: row["deviation"]
            for row in ask(sql("sample_ratio_alert", SAMPLE_RATIO_OF_ALL), connection)
        }
    assert (rows["idle"] > SAMPLE_RATIO_LIMIT) is fires


def test_units_that_return_are_no_draws(platform: Platform, ask: Ask) -> None:
    with platform.transaction() as connection:
        connection.execute(DRAW, {"first": 1_000, "unit": b"unit"})
        connection.execute(EXPOSURE)
        rows = ask(sql("sample_ratio", SAMPLE_RATIO), connection, experiment="idle")
    assert sum(row["observed"] for row in rows) == 1
