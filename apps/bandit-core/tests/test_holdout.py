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
    of_bandit, of_control = rng.beta(bandit.alpha, bandit.beta, draws), rng.beta(control.alpha, control.beta, draws)
    lift, difference = of_bandit / of_control - 1, of_bandit - of_control
    found = compare(bandit, control)
    assert found.prob_better == pytest.approx(np.mean(lift > 0), abs=4 * 0.5 / np.sqrt(draws))
    for drawn, quantiles in (
        (lift, {0.025: found.low, 0.5: found.lift, 0.975: found.high}),
        (difference, {0.025: found.difference_low, 0.5: found.difference, 0.975: found.difference_high}),
    ):
        for quantile, value in quantiles.items():
            # The share of draws below is compared: it has a known error, whatever the density is there.
            error = 4 * np.sqrt(quantile * (1 - quantile) / draws)
            assert np.mean(drawn <= value) == pytest.approx(quantile, abs=error)


def test_without_data_the_intervals_are_those_of_two_flat_priors() -> None:
    found = compare(Side(0, 0), Side(0, 0), level=0.9)

    def below_difference(d: float) -> float:
        return (1 + d) ** 2 / 2 if d <= 0 else 1 - (1 - d) ** 2 / 2

    def below_lift(lift: float) -> float:
        return (1 + lift) / 2 if lift <= 0 else 1 - 1 / (2 * (1 + lift))

    wanted = pytest.approx([0.05, 0.5, 0.95], abs=1e-4)
    assert [below_difference(d) for d in (found.difference_low, found.difference, found.difference_high)] == wanted
    assert [below_lift(lift) for lift in (found.low, found.lift, found.high)] == wanted


@pytest.mark.parametrize("known_is_bandit", [True, False])
def test_a_rate_known_to_the_digit_beside_an_unknown_one(*, known_is_bandit: bool) -> None:
    known, unknown = Side(10_000_000, 500_000), Side(0, 0)
    quantiles = np.array([0.025, 0.5, 0.975])
    if known_is_bandit:
        found, wanted = compare(known, unknown), 0.05 / quantiles[::-1] - 1
    else:
        found, wanted = compare(unknown, known), quantiles / 0.05 - 1
    assert [found.low, found.lift, found.high] == pytest.approx(wanted.tolist(), rel=1e-4)


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
