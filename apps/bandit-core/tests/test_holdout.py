"""Bandit against control, beside a simulation of both posteriors."""

import numpy as np
import pytest

from bandit_core.holdout import Side, compare


@pytest.mark.parametrize(
    ("bandit", "control"),
    [
        (Side(9_000, 700), Side(1_000, 60)),
        (Side(20, 3), Side(5, 0)),
        (Side(0, 0), Side(0, 0)),
        (Side(1e6, 5e4), Side(1e5, 5e3)),
    ],
)
def test_it_agrees_with_draws_from_both_posteriors(bandit: Side, control: Side) -> None:
    rng, draws = np.random.default_rng(0), 400_000
    lift = rng.beta(bandit.alpha, bandit.beta, draws) / rng.beta(control.alpha, control.beta, draws) - 1
    found = compare(bandit, control)
    assert found.prob_better == pytest.approx(np.mean(lift > 0), abs=4 * 0.5 / np.sqrt(draws))
    for quantile, value in ((0.025, found.low), (0.5, found.lift), (0.975, found.high)):
        # The share of draws below is compared: it has a known error, whatever the density is there.
        error = 4 * np.sqrt(quantile * (1 - quantile) / draws)
        assert np.mean(lift <= value) == pytest.approx(quantile, abs=error)


def test_more_data_narrows_the_interval() -> None:
    few, many = (compare(Side(9 * n, 0.9 * n), Side(n, 0.08 * n)) for n in (100, 10_000))
    assert many.high - many.low < 0.2 * (few.high - few.low)
    assert many.bandit_mean == pytest.approx(0.1, abs=1e-3)
    assert many.control_mean == pytest.approx(0.08, abs=1e-3)


def test_totals_cannot_exceed_counts() -> None:
    with pytest.raises(ValueError, match="total"):
        Side(1, 2)
    with pytest.raises(ValueError, match="level"):
        compare(Side(1, 1), Side(1, 1), level=1.0)
