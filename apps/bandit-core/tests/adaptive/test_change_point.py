"""Changes of a contrast are found, changes of the level are not."""

import numpy as np
from numpy.typing import NDArray

from bandit_core.adaptive.change_point import THRESHOLD, find_change
from bandit_core.adaptive.pair_sums import PairSums

type Array = NDArray[np.float64]


def periods(rates: Array, weights: list[float], seed: int = 0, size: int = 1_000) -> PairSums:
    rng = np.random.default_rng(seed)
    count = rng.multinomial(size, weights, len(rates))
    won = rng.binomial(count, rates)
    return PairSums.of(np.tile(weights, (len(rates), 1)), count, won, won)


def test_a_swap_is_found_where_it_was() -> None:
    rates = np.concatenate([np.tile([0.10, 0.14], (10, 1)), np.tile([0.14, 0.10], (20, 1))])
    change = find_change(periods(rates, [0.5, 0.5]))
    assert change is not None
    assert change.is_found
    assert abs(change.split - 10) <= 2
    assert change.before < 0.0 < change.after


def test_only_the_pair_that_changed_is_named() -> None:
    rates = np.concatenate([np.tile([0.1, 0.1, 0.1], (10, 1)), np.tile([0.1, 0.2, 0.1], (10, 1))])
    change = find_change(periods(rates, [0.4, 0.3, 0.3]))
    assert change is not None
    assert change.is_found
    assert 1 in (change.first, change.second)


def test_a_level_that_moves_is_no_change() -> None:
    found = []
    for seed in range(40):
        swing = 0.1 * (1.0 + 0.6 * np.sin(np.linspace(0.0, 20.0, 40)))
        change = find_change(periods(swing[:, None] * [1.0, 1.1], [0.7, 0.3], seed))
        found.append(change is not None and change.statistic >= THRESHOLD)
    assert sum(found) <= 1


def test_too_little_data_says_nothing() -> None:
    assert find_change(periods(np.full((1, 2), 0.1), [0.5, 0.5])) is None
    assert find_change(periods(np.full((3, 2), 0.1), [0.5, 0.5], size=20)) is None


def test_arms_that_never_succeed_have_no_change() -> None:
    """A variance of 0 beside a pair that was not compared yet."""
    assert find_change(periods(np.zeros((6, 2)), [0.999, 0.001], size=500)) is None
