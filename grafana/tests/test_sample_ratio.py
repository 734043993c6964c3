"""The panel and the alert of the sample ratio show what the service tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandit_core.sample_ratio import SMALL_P_VALUE
from dashboards.queries import sql

if TYPE_CHECKING:
    from conftest import Ask, Platform


def test_draws_of_the_service_follow_their_propensities(ask: Ask) -> None:
    rows = ask(sql("sample_ratio"))
    assert sum(row["draws"] for row in rows) == 1_000
    assert {row["expected"] for row in rows} == {1_000}
    assert min(row["p_value"] for row in rows) > SMALL_P_VALUE


def test_a_running_experiment_is_watched(platform: Platform, ask: Ask) -> None:
    rows = {row["experiment"]: row["p_value"] for row in ask(sql("sample_ratio_alert"))}
    assert rows.keys() == {"shop.value", "shop.basket"}
    with platform.transaction() as connection:
        connection.execute(b"UPDATE sample_ratios SET arms = jsonb_set(arms, '{0,p_value}', '1e-5')")
        rows = {row["experiment"]: row["p_value"] for row in ask(sql("sample_ratio_alert"), connection)}
    assert rows["shop.value"] == pytest.approx(1e-5)
