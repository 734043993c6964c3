"""The design effect beside the variance of many simulated means, and beside what defines it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.adaptive.design_effect import ClusterSums


def test_it_is_what_repetition_does_to_a_mean() -> None:
    """2,000 experiments of 50 units with 10 decisions each, rates Beta(1, 9): correlation .1, effect 1 + 9 · .1."""
    rng = np.random.default_rng(0)
    won = rng.binomial(10, rng.beta(1.0, 9.0, (2_000, 50)))
    blown_up = won.mean(axis=1).var() / 10**2 / (0.1 * 0.9 / 500)
    each = [ClusterSums.of(run, np.full(50, 10.0)).design_effect(0.1, 0.09) for run in won]
    assert np.mean(each) == pytest.approx(1.9, rel=0.03)
    assert blown_up == pytest.approx(np.mean(each), rel=0.1)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=20), st.floats(0.05, 0.95))
def test_it_is_the_sum_that_defines_it(units: list[tuple[int, int]], level: float) -> None:
    rewards, counts = np.array(units, dtype=np.float64).T
    direct = ((rewards - level * counts) ** 2).sum() / (0.2 * counts.sum())
    whole = ClusterSums.of(rewards, counts)
    assert whole.design_effect(level, 0.2) == pytest.approx(max(1.0, direct))
    half = len(units) // 2
    parts = ClusterSums.of(rewards[:half], counts[:half]) + ClusterSums.of(rewards[half:], counts[half:])
    assert parts == whole


def test_units_that_never_come_back_blow_up_nothing() -> None:
    rng = np.random.default_rng(1)
    won = (rng.random(5_000) < 0.1).astype(np.float64)
    assert ClusterSums.of(won, np.ones(5_000)).design_effect(won.mean(), won.var()) == pytest.approx(1.0)
    assert ClusterSums().design_effect(0.1, 0.09) == 1.0


def test_clusters_must_fit() -> None:
    with pytest.raises(ValueError, match="clusters"):
        ClusterSums.of([1.0, 2.0], [1.0])
