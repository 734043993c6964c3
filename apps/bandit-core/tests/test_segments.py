"""Segments that share what they have in common: the laws of it. docs/studies measures what it is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandit_core.segments import ALIKE, CAP, Shrunk, shrink

type Array = NDArray[np.float64]

UNIFORM = (1.0, 1.0)


def means(shrunk: Shrunk) -> Array:
    return np.asarray(shrunk.alpha / (shrunk.alpha + shrunk.beta))


def test_the_shared_distribution_is_found() -> None:
    """Its mean, and the order of its strength, from 200 segments."""
    rng = np.random.default_rng(2)
    tried = rng.integers(50, 5_000, (200, 1))
    shared = shrink(rng.binomial(tried, rng.beta(2.0, 18.0, (200, 1))), tried, [UNIFORM])
    assert shared.mean[0] == pytest.approx(0.1, abs=0.02)
    assert 15.0 < shared.strength[0] < 27.0


def test_segments_that_are_exactly_alike_are_pooled() -> None:
    """Each posterior is that of all the data, but for the chance that they differ after all."""
    tried = np.full((10, 1), 500.0)
    pooled = shrink(0.1 * tried, tried, [(2.0, 3.0)])
    assert pooled.alike[0] > 0.95
    assert 1e5 < pooled.strength[0] < CAP
    np.testing.assert_allclose(means(pooled), 502.0 / 5_005.0, rtol=1e-3)
    np.testing.assert_allclose(pooled.alpha + pooled.beta, 5_005.0, rtol=0.05)


def test_without_data_every_segment_has_the_arms_own_prior() -> None:
    """A little wider: segments may turn out to differ."""
    priors = np.array([(2.0, 8.0), (1.0, 1.0), (200.0, 800.0)])
    nothing = shrink(np.zeros((4, 3)), np.zeros((4, 3)), priors)
    np.testing.assert_allclose(means(nothing), [[0.2, 0.5, 0.2]] * 4)
    own, strength = priors.sum(axis=1), nothing.alpha + nothing.beta
    assert (strength < own).all()
    assert (strength > 0.97 * own).all()
    np.testing.assert_allclose(nothing.alike, ALIKE)


@given(st.floats(0.1, 0.35), st.integers(0, 10_000))
def test_a_single_segment_that_does_not_belie_its_prior_learns_as_an_arm_does(rate: float, tried: int) -> None:
    alone = shrink([[rate * tried]], [[tried]], [(2.0, 8.0)])
    assert means(alone)[0, 0] == pytest.approx((2.0 + rate * tried) / (10.0 + tried), rel=0.05)
    assert alone.alpha[0, 0] + alone.beta[0, 0] == pytest.approx(10.0 + tried, rel=0.1)


def test_a_new_segment_starts_from_what_the_others_share() -> None:
    rng = np.random.default_rng(3)
    tried = np.append(np.full(30, 2_000), 0)[:, None]
    unlike = shrink(rng.binomial(tried, rng.beta(2.0, 18.0, (31, 1))), tried, [UNIFORM])
    assert means(unlike)[-1, 0] == pytest.approx(unlike.mean[0], rel=0.01)
    assert 5.0 < (unlike.alpha + unlike.beta)[-1, 0] < unlike.strength[0]
    alike = shrink(rng.binomial(tried, 0.1), tried, [UNIFORM])
    assert means(alike)[-1, 0] == pytest.approx(0.1, abs=0.01)
    assert (alike.alpha + alike.beta)[-1, 0] > 10_000.0


def test_one_segment_alone_says_where_the_next_may_start_but_not_how_surely() -> None:
    pair = shrink([[3_000.0], [0.0]], [[30_000.0], [0.0]], [UNIFORM])
    assert means(pair)[1, 0] == pytest.approx(0.1, rel=0.05)
    assert 10.0 < (pair.alpha + pair.beta)[1, 0] < 1_000.0


def test_a_segment_with_much_data_keeps_to_itself_among_others_unlike_it() -> None:
    tried = np.array([[5_000.0]] * 6)
    won = tried * np.array([[0.05], [0.3], [0.1], [0.6], [0.2], [0.9]])
    np.testing.assert_allclose(means(shrink(won, tried, [UNIFORM])), won / tried, atol=1e-3)


def test_a_small_segment_moves_towards_the_others_and_not_beyond() -> None:
    tried = np.array([[2_000.0]] * 8 + [[20.0]])
    won = tried * np.array([[0.06], [0.08], [0.1], [0.12], [0.14], [0.09], [0.11], [0.1], [0.4]])
    shrunk = shrink(won, tried, [UNIFORM])
    assert shrunk.mean[0] < means(shrunk)[-1, 0] < 0.4


counts = st.integers(1, 6).flatmap(
    lambda segments: st.lists(
        st.tuples(st.integers(0, 3_000), st.floats(0.0, 1.0)), min_size=segments, max_size=segments
    )
)


@given(counts, st.floats(0.01, 1_000.0), st.floats(0.01, 1_000.0))
def test_no_mean_leaves_the_range_of_what_was_observed_and_believed(
    observed: list[tuple[int, float]], alpha: float, beta: float
) -> None:
    tried = np.array([[each[0]] for each in observed], dtype=np.float64)
    won = tried * np.array([[each[1]] for each in observed])
    shrunk = shrink(won, tried, [(alpha, beta)])
    seen = [alpha / (alpha + beta), *(won[tried > 0.0] / tried[tried > 0.0])]
    assert (shrunk.alpha > 0.0).all()
    assert (shrunk.beta > 0.0).all()
    assert (means(shrunk) >= min(seen) - 1e-12).all()
    assert (means(shrunk) <= max(seen) + 1e-12).all()
    assert min(seen) - 1e-12 <= shrunk.mean[0] <= max(seen) + 1e-12
    assert 0.0 < shrunk.strength[0] <= CAP
    assert 0.0 <= shrunk.alike[0] <= 1.0


@given(counts, st.integers(0, 1_000))
def test_the_order_of_segments_and_of_arms_does_not_matter(observed: list[tuple[int, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tried = np.array([[each[0], each[0] // 2] for each in observed], dtype=np.float64)
    won, priors = tried * np.array([[each[1]] * 2 for each in observed]), np.array([[1.0, 9.0], [2.0, 3.0]])
    straight, order = shrink(won, tried, priors), rng.permutation(len(tried))
    permuted = shrink(won[order][:, ::-1], tried[order][:, ::-1], priors[::-1])
    np.testing.assert_allclose(permuted.alpha, straight.alpha[order][:, ::-1], rtol=1e-6)
    np.testing.assert_allclose(permuted.beta, straight.beta[order][:, ::-1], rtol=1e-6)
    np.testing.assert_allclose(permuted.strength, straight.strength[::-1], rtol=1e-6)


@given(counts)
def test_exchanging_success_and_failure_exchanges_alpha_and_beta(observed: list[tuple[int, float]]) -> None:
    tried = np.array([[each[0]] for each in observed], dtype=np.float64)
    won = np.round(tried * np.array([[each[1]] for each in observed]))
    straight, exchanged = shrink(won, tried, [(2.0, 5.0)]), shrink(tried - won, tried, [(5.0, 2.0)])
    np.testing.assert_allclose(exchanged.alpha, straight.beta, rtol=1e-6)
    np.testing.assert_allclose(exchanged.beta, straight.alpha, rtol=1e-6)


@pytest.mark.parametrize(
    ("won", "tried", "priors", "message"),
    [
        ([1.0], [2.0], [UNIFORM], r"successes and trials must be \(S, K\) and priors \(K, 2\), got \(1,\), \(1,\)"),
        ([[1.0]], [[2.0, 3.0]], [UNIFORM], r"got \(1, 1\), \(1, 2\), \(1, 2\)"),
        ([[1.0]], [[2.0]], [UNIFORM, UNIFORM], r"got \(1, 1\), \(1, 1\), \(2, 2\)"),
        ([[3.0]], [[2.0]], [UNIFORM], "successes must lie between 0 and trials, which must be finite"),
        ([[-1.0]], [[2.0]], [UNIFORM], "successes must lie between 0 and trials"),
        ([[np.nan]], [[2.0]], [UNIFORM], "successes must lie between 0 and trials"),
        ([[1.0]], [[np.inf]], [UNIFORM], "trials, which must be finite"),
        ([[1.0]], [[2.0]], [(0.0, 1.0)], "priors must be positive"),
        ([[1.0]], [[2.0]], [(np.nan, 1.0)], "priors must be positive"),
    ],
)
def test_counts_that_make_no_sense_are_refused(
    won: list[list[float]], tried: list[list[float]], priors: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        shrink(won, tried, priors)
