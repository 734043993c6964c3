"""Segments that share what they have in common have less error than apart or all together."""

import math

import numpy as np
import pytest

from studies.segment_shrinkage import Ratio, Shrinkage, measure


def found(strength: float, segments: int = 20, data_sets: int = 400) -> Shrinkage:
    return measure(strength, segments=segments, data_sets=data_sets, rng=np.random.default_rng(1))


@pytest.mark.parametrize(("strength", "least_gain"), [(5.0, 0.95), (20.0, 0.9), (50.0, 0.75), (200.0, 0.5)])
def test_segments_that_differ(strength: float, least_gain: float) -> None:
    shrunk = found(strength)
    assert shrunk.to_none.value < least_gain
    assert shrunk.to_complete.value < least_gain
    assert 0.9 < shrunk.coverage < 0.97


def test_segments_that_are_alike() -> None:
    shrunk = found(math.inf)
    assert shrunk.to_complete.value < 1.05
    assert shrunk.to_none.value < 1.0
    assert 0.93 < shrunk.coverage < 0.99


@pytest.mark.parametrize("segments", [2, 3])
def test_two_or_three_that_differ_much_lose_less_than_by_pooling(segments: int) -> None:
    """So few say little of how much they differ: keeping them apart would have been better."""
    shrunk = found(20.0, segments, data_sets=4_000)
    assert shrunk.to_complete.value < 0.25
    assert 1.2 < shrunk.to_none.value < 1.8


def test_the_error_of_a_ratio_is_that_of_its_repetitions() -> None:
    rng = np.random.default_rng(2)
    rivals = rng.gamma(2.0, 1.0, (2_000, 500))
    ours = 0.5 * rivals + rng.gamma(1.0, 0.5, rivals.shape)
    ratios = [Ratio.of(a, b) for a, b in zip(ours, rivals, strict=True)]
    spread = np.std([each.value for each in ratios])
    assert np.mean([each.std_error for each in ratios]) == pytest.approx(spread, rel=0.1)
