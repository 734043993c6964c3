"""Regret: none for the best arm, known in expectation for uniform choice, between them for one that learns."""

import numpy as np
import polars as pl
import pytest

from bandit_pipeline.regret.curves import Size, click_rates, curves

RATES = np.array([0.1, 0.3, 0.6])


def test_click_rates_are_in_the_order_of_arms() -> None:
    log = pl.DataFrame({"arm": [1, 0, 1, 0], "reward": [1.0, 0.0, 1.0, 1.0]})
    assert click_rates(log).tolist() == [0.5, 1.0]


def test_learning_costs_less_than_uniform_choice_and_more_than_knowing() -> None:
    found = curves(RATES, Size(decisions=2_000, every=100, runs=10, seed=0))
    last = {row["policy"]: row for row in found.filter(pl.col("decisions") == 2_000).iter_rows(named=True)}
    assert last["best_arm"]["mean"] == 0.0
    assert last["uniform"]["mean"] == pytest.approx(2_000 * (0.6 - RATES.mean()), rel=0.05)
    assert 0.0 < last["thompson"]["mean"] < 0.3 * last["uniform"]["mean"]
    assert all(row["low"] <= row["mean"] <= row["high"] for row in last.values())


def test_the_same_seed_gives_the_same_curves() -> None:
    size = Size(decisions=500, every=100, runs=2, seed=3)
    assert curves(RATES, size).equals(curves(RATES, size))
