"""Bandit against control, beside a simulation of both posteriors."""

import numpy as np
import pytest

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.holdout import Side, compare, effective_sides


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


def test_a_share_that_changed_is_no_lift() -> None:
    """Both sides .10, then both .14, with a holdout of .1, then .5: pooled, the holdout looks far better."""
    count = np.array([[9_000.0, 1_000.0], [5_000.0, 5_000.0]])
    total = count * [[0.10], [0.14]]
    found = compare(*effective_sides(PairSums.of_versions([[0.9, 0.1], [0.5, 0.5]], count, total, total)))
    assert found.lift == pytest.approx(0.0, abs=0.003)
    assert found.low < 0.0 < found.high
    bandit, control = (Side(n, s) for n, s in zip(count.sum(axis=0).tolist(), total.sum(axis=0).tolist(), strict=True))
    pooled = compare(bandit, control)
    assert pooled.high < 0.0


def test_a_share_that_stood_still_leaves_the_sides() -> None:
    total = [[9, 1], [7, 2], [8, 0]]
    sums = PairSums.of_versions(np.tile([0.9, 0.1], (3, 1)), [[90, 12], [81, 9], [88, 7]], total, total)
    bandit, control = effective_sides(sums)
    assert (bandit.count, bandit.total) == pytest.approx((259, 24))
    assert (control.count, control.total) == pytest.approx((28, 3))


def test_sides_are_two() -> None:
    with pytest.raises(ValueError, match="holdout"):
        effective_sides(PairSums.zeros(3))
