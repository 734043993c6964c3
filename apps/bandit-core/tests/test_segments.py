"""Segments lend each other what they know: better than each for itself, better than all as one, where that is so."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.segments import CAP, shrink

SIZES = np.geomspace(50, 5_000, 20).astype(int)
FLAT = [[1.0, 1.0]]
RATE = 0.1

type Array = NDArray[np.float64]


def errors(strength: float | None, data_sets: int, seed: int = 0) -> Array:
    """Mean total squared error of shrinking, of no pooling (the better of two) and of complete pooling.

    Rates of the segments are Beta with mean 0.1 and that strength; None: all alike.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(data_sets):
        if strength is None:
            rates = np.full(len(SIZES), RATE)
        else:
            rates = rng.beta(RATE * strength, (1 - RATE) * strength, len(SIZES))
        won = rng.binomial(SIZES, rates)
        shrunk = shrink(won[:, None], SIZES[:, None], FLAT)
        ours = (shrunk.alpha / (shrunk.alpha + shrunk.beta))[:, 0]
        alone, smoothed = won / SIZES, (won + 1) / (SIZES + 2)
        pooled = (won.sum() + 1) / (SIZES.sum() + 2)
        found.append([((each - rates) ** 2).sum() for each in (ours, alone, smoothed, pooled)])
    ours, alone, smoothed, together = np.mean(found, axis=0)
    return np.array([ours, min(alone, smoothed), together])


@pytest.mark.parametrize("strength", [5.0, 20.0, 50.0, 200.0])
def test_where_segments_differ_it_beats_no_pooling_and_complete_pooling(strength: float) -> None:
    ours, alone, together = errors(strength, 200)
    assert ours < alone
    assert ours < together


def test_where_they_do_not_it_is_complete_pooling_within_5_percent() -> None:
    ours, _, together = errors(None, 200)
    assert ours <= 1.05 * together


@pytest.mark.verify
@pytest.mark.parametrize("strength", [None, 5.0, 20.0, 50.0, 200.0, 1_000.0])
def test_over_two_thousand_data_sets(strength: float | None) -> None:
    ours, alone, together = errors(strength, 2_000, seed=1)
    assert ours < alone
    assert ours <= (1.05 * together if strength is None else together)


def test_without_data_every_segment_has_the_arms_own_prior() -> None:
    shrunk = shrink(np.zeros((4, 2)), np.zeros((4, 2)), [[2.0, 20.0], [1.0, 1.0]])
    np.testing.assert_allclose(shrunk.alpha, [[2.0, 1.0]] * 4, rtol=1e-4)
    np.testing.assert_allclose(shrunk.beta, [[20.0, 1.0]] * 4, rtol=1e-4)


def test_segments_that_are_alike_are_one() -> None:
    won, tried = np.array([[10.0], [30.0], [5.0]]), np.array([[100.0], [300.0], [50.0]])
    shrunk = shrink(won, tried, FLAT)
    assert shrunk.strength.tolist() == [CAP]
    np.testing.assert_allclose(shrunk.alpha, 46.0, rtol=1e-3)
    np.testing.assert_allclose(shrunk.beta, 406.0, rtol=1e-3)


def test_a_new_segment_starts_informed_and_less_sure_where_segments_differ() -> None:
    won, tried = np.array([[5.0], [200.0], [90.0], [0.0]]), np.array([[1_000.0], [1_000.0], [1_000.0], [0.0]])
    shrunk = shrink(won, tried, FLAT)
    alpha, beta = shrunk.alpha[3, 0], shrunk.beta[3, 0]
    assert alpha / (alpha + beta) == pytest.approx(0.1, abs=0.05)
    assert alpha + beta < 30
    assert 1 < shrunk.strength[0] < 100


def test_a_segment_with_much_data_speaks_for_itself() -> None:
    won, tried = np.array([[50_000.0], [1_000.0], [30.0]]), np.array([[100_000.0], [10_000.0], [1_000.0]])
    shrunk = shrink(won, tried, FLAT)
    mean = shrunk.alpha / (shrunk.alpha + shrunk.beta)
    np.testing.assert_allclose(mean[:, 0], [0.5, 0.1, 0.03], rtol=0.03)


def test_arms_and_segments_do_not_care_about_their_order() -> None:
    rng = np.random.default_rng(3)
    tried = rng.integers(0, 500, (6, 3)).astype(float)
    won = np.floor(tried * rng.random((6, 3)))
    priors = np.array([[1.0, 1.0], [2.0, 3.0], [0.5, 5.0]])
    plain, turned = shrink(won, tried, priors), shrink(won[::-1, ::-1], tried[::-1, ::-1], priors[::-1])
    np.testing.assert_allclose(turned.alpha[::-1, ::-1], plain.alpha)
    np.testing.assert_allclose(turned.beta[::-1, ::-1], plain.beta)


@pytest.mark.parametrize(
    ("won", "tried", "priors"),
    [
        ([[2.0]], [[1.0]], FLAT),
        ([[-1.0]], [[1.0]], FLAT),
        ([[np.nan]], [[1.0]], FLAT),
        ([[1.0]], [[1.0]], [[0.0, 1.0]]),
        ([[1.0]], [[1.0]], [[1.0, 1.0]] * 2),
        ([1.0], [1.0], FLAT),
    ],
)
def test_what_makes_no_sense_is_refused(won: object, tried: object, priors: object) -> None:
    with pytest.raises(ValueError, match="must"):
        shrink(won, tried, priors)  # type: ignore[arg-type]
