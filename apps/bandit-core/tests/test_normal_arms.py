"""Which normal score is the highest: against closed forms, adaptive integration, simulation and the laws it obeys."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr

from bandit_core.normal_arms import normal_prob_best

type Array = NDArray[np.float64]
type Scores = list[tuple[float, float]]

ABSOLUTE = 1e-10
"""Ten times the error that is promised for 2 to 50 scores."""

score = st.tuples(st.floats(-3.0, 3.0), st.floats(np.log(1e-3), np.log(3.0)).map(lambda log: float(np.exp(log))))
scores = st.lists(score, min_size=2, max_size=12)


def unzip(given_scores: Scores) -> tuple[Array, Array]:
    mean, sd = np.array(given_scores, dtype=np.float64).T
    return mean, sd


@given(score, score)
def test_two_scores_obey_the_closed_form(first: tuple[float, float], second: tuple[float, float]) -> None:
    """P(X₁ > X₂) = Φ((m₁ − m₂) / √(s₁² + s₂²))."""
    truth = ndtr((first[0] - second[0]) / np.hypot(first[1], second[1]))
    assert normal_prob_best(*unzip([first, second])) == pytest.approx([truth, 1.0 - truth], abs=ABSOLUTE)


@given(st.floats(0.0, 7.9), st.floats(1e-3, 1.0))
def test_small_probabilities_keep_their_relative_accuracy(behind: float, narrower: float) -> None:
    """Down to 1e-15; whether the wide or the narrow score is behind."""
    truth = float(ndtr(-behind))
    gap = behind * float(np.hypot(1.0, narrower))
    for sd in ([1.0, narrower], [narrower, 1.0]):
        assert normal_prob_best([0.0, gap], sd)[0] == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize("count", [2, 3, 7, 20, 50])
def test_it_agrees_with_adaptive_integration(count: int) -> None:
    rng = np.random.default_rng(count)
    mean, sd = rng.normal(size=count), np.exp(rng.uniform(np.log(0.01), 0.0, count))
    points = np.sort(np.concatenate([mean, mean - 2 * sd, mean + 2 * sd]))

    def density(t: float, arm: int) -> float:
        z = (t - mean) / sd
        return float(np.exp(-0.5 * z[arm] ** 2) / (sd[arm] * np.sqrt(2 * np.pi)) * np.delete(ndtr(z), arm).prod())

    for arm in np.argsort(mean + sd)[-3:]:
        low, high = mean[arm] - 9 * sd[arm], mean[arm] + 9 * sd[arm]
        inner = [float(point) for point in points if low < point < high]
        truth, _ = quad(density, low, high, args=(arm,), points=inner, limit=2_000, epsabs=1e-12)
        assert normal_prob_best(mean, sd)[arm] == pytest.approx(truth, abs=ABSOLUTE)


@pytest.mark.parametrize("count", [1, 2, 10, 50])
def test_equal_scores_share_equally(count: int) -> None:
    np.testing.assert_allclose(normal_prob_best(np.full(count, 0.3), np.full(count, 0.1)), 1.0 / count, rtol=1e-12)


@pytest.mark.parametrize(
    ("mean", "sd", "truth"),
    [
        ([1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.0]),
        ([0.0, 0.0], [0.0, 0.0], [0.5, 0.5]),
        ([0.2, 0.2], [0.0, 1.0], [0.5, 0.5]),
        ([0.0, 1.0], [0.0, 1.0], [float(ndtr(-1.0)), float(ndtr(1.0))]),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [float(ndtr(-1.0)) / 2, float(ndtr(-1.0)) / 2, float(ndtr(1.0))]),
        ([1e9, -1e9], [1.0, 1.0], [1.0, 0.0]),
    ],
)
def test_what_is_certain_and_what_ties(mean: list[float], sd: list[float], truth: list[float]) -> None:
    assert normal_prob_best(mean, sd) == pytest.approx(truth, abs=1e-7)


@given(scores)
def test_probabilities_are_at_least_0_and_sum_to_1(given_scores: Scores) -> None:
    chances = normal_prob_best(*unzip(given_scores))
    assert (chances >= 0.0).all()
    assert chances.sum() == pytest.approx(1.0, abs=1e-14)


@given(scores, st.integers(0, 1_000))
def test_the_order_of_scores_does_not_matter(given_scores: Scores, seed: int) -> None:
    mean, sd = unzip(given_scores)
    order = np.random.default_rng(seed).permutation(len(mean))
    np.testing.assert_allclose(
        normal_prob_best(mean[order], sd[order]), normal_prob_best(mean, sd)[order], rtol=0.0, atol=1e-12
    )


@given(scores, st.floats(-100.0, 100.0), st.floats(1e-3, 1e3))
def test_neither_a_shift_nor_a_scale_matters(given_scores: Scores, shift: float, scale: float) -> None:
    mean, sd = unzip(given_scores)
    np.testing.assert_allclose(
        normal_prob_best(scale * (mean + shift), scale * sd), normal_prob_best(mean, sd), rtol=0.0, atol=1e-8
    )


@given(scores, st.floats(0.0, 3.0))
def test_a_higher_mean_makes_a_score_likelier_to_be_the_highest(given_scores: Scores, gain: float) -> None:
    mean, sd = unzip(given_scores)
    raised = mean + np.where(np.arange(len(mean)) == 0, gain, 0.0)
    assert normal_prob_best(raised, sd)[0] >= normal_prob_best(mean, sd)[0] - ABSOLUTE


@pytest.mark.parametrize("unit", [5e-324, 1e-308, 1e-150, 1e150])
def test_units_may_be_tiny_or_huge(unit: float) -> None:
    mean, sd = unit * np.array([1.0, 3.0]), unit * np.array([1.0, 1.0])
    truth = float(ndtr(-2.0 / np.sqrt(2.0)))
    assert normal_prob_best(mean, sd) == pytest.approx([truth, 1.0 - truth], abs=ABSOLUTE)
    assert normal_prob_best(mean, np.zeros(2)).tolist() == [0.0, 1.0]


def test_scores_far_behind_change_nothing_for_the_others() -> None:
    alone = normal_prob_best([0.0, 0.1], [0.1, 0.2])
    crowded = normal_prob_best([0.0, 0.1, *[-50.0] * 20], [0.1, 0.2, *[0.5] * 20])
    assert crowded == pytest.approx([*alone, *[0.0] * 20], abs=1e-9)


@pytest.mark.parametrize(
    ("mean", "sd", "message"),
    [
        ([], [], r"mean and sd must have one shape, \(K,\) or \(N, K\), got \(0,\) and \(0,\)"),
        ([1.0], [1.0, 2.0], r"got \(1,\) and \(2,\)"),
        ([[[1.0]]], [[[1.0]]], r"got \(1, 1, 1\) and \(1, 1, 1\)"),
        ([0.0, np.nan], [1.0, 1.0], "means must be finite, and deviations finite and at least 0"),
        ([0.0, 0.0], [1.0, np.nan], "deviations finite and at least 0"),
        ([[0.0, 0.0], [np.nan, 0.0]], [[1.0, 1.0]] * 2, "means must be finite"),
        ([np.nan, 0.0], [1.0, 1.0], "means must be finite, and deviations finite and at least 0"),
        ([0.0, 0.0], [1.0, np.inf], "deviations finite and at least 0"),
        ([0.0, 0.0], [1.0, -0.1], "deviations finite and at least 0"),
    ],
)
def test_what_is_no_score_is_refused(mean: list[Any], sd: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normal_prob_best(mean, sd)


def dense(mean: Array, sd: Array) -> Array:
    """P(best) by panels of 0.7 deviations of the narrowest score that moves, with 20 Gauss points each."""
    reach, low = 9.4 * sd, float((mean - 9.4 * sd).max())
    high, edges = float((mean + reach).max()), [low]
    while edges[-1] < high:
        at = edges[-1]
        ahead = mean + reach > at
        widths = np.where(at >= mean - reach - sd, 0.7 * sd, mean - reach - at)
        edges.append(at + min(high - at, float(widths[ahead].min())))
    gauss, gauss_weights = np.polynomial.legendre.leggauss(20)
    width = np.diff(edges)[:, None]
    nodes = (np.array(edges)[:-1, None] + width * (gauss + 1.0) / 2.0).ravel()
    z = (nodes - mean[:, None]) / sd[:, None]
    cdf = ndtr(z)
    weights = cdf.prod(axis=0) * (width * gauss_weights / 2.0).ravel()
    unscaled: Array = (np.exp(-0.5 * z * z) / cdf / sd[:, None]) @ weights
    return unscaled / unscaled.sum()


@pytest.mark.parametrize(("count", "sets"), [(2, 60), (3, 60), (10, 40), (30, 10), (100, 4)])
def test_the_error_is_what_the_docstring_says(count: int, sets: int) -> None:
    """For one set and for many, with ratios of spreads up to 1,000."""
    rng = np.random.default_rng(count)
    ratio = rng.choice([1.0, 1.5, 3.0, 10.0, 100.0, 1_000.0], (sets, 1))
    mean = rng.normal(size=(sets, count)) * rng.choice([0.0, 0.1, 0.5, 1.0, 3.0, 10.0], (sets, 1))
    sd = np.exp(-rng.uniform(0.0, 1.0, (sets, count)) * np.log(ratio))
    truth = np.array([dense(*each) for each in zip(mean, sd, strict=True)])
    np.testing.assert_allclose(normal_prob_best(mean, sd), truth, rtol=0.0, atol=2.5e-13)
    alone = [normal_prob_best(*each) for each in zip(mean, sd, strict=True)]
    np.testing.assert_allclose(alone, truth, rtol=0.0, atol=2.5e-13)


def test_a_narrow_score_between_equal_ones() -> None:
    assert normal_prob_best([0.0, 1e-4, 0.0], [1e-6, 1e-6, 1e6]) == pytest.approx([0.0, 0.5, 0.5], abs=1e-9)
