"""Which normal score is the highest: against closed forms, adaptive integration, simulation and the laws it obeys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr

from bandit_core.normal_arms import normal_expected_loss, normal_prob_best, products_of_others

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


@given(score, score)
def test_two_scores_lose_what_the_closed_form_says(first: tuple[float, float], second: tuple[float, float]) -> None:
    """E[(X₂ − X₁)⁺] = δ Φ(δ/s) + s φ(δ/s) with δ = m₂ − m₁ and s = √(s₁² + s₂²)."""
    gap, spread = second[0] - first[0], float(np.hypot(first[1], second[1]))
    density = spread * np.exp(-0.5 * (gap / spread) ** 2) / np.sqrt(2.0 * np.pi)
    truth = [gap * ndtr(gap / spread) + density, -gap * ndtr(-gap / spread) + density]
    assert normal_expected_loss(*unzip([first, second])) == pytest.approx(truth, abs=ABSOLUTE)


@pytest.mark.parametrize("count", [2, 10, 50])
def test_losses_match_simulation(count: int) -> None:
    """Within 4 standard errors of 100,000 draws."""
    rng = np.random.default_rng(count)
    mean, sd = rng.normal(0.0, 0.3, count), rng.uniform(0.05, 0.5, count)
    drawn = mean + sd * rng.standard_normal((100_000, count))
    gaps = drawn.max(axis=1, keepdims=True) - drawn
    std_error = gaps.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(gaps.mean(axis=0) - normal_expected_loss(mean, sd)) < 4.0 * std_error).all()


@given(scores)
def test_losses_are_at_least_0_and_differ_as_means_do(given_scores: Scores) -> None:
    """Each is E[max X] − m_i."""
    mean, sd = unzip(given_scores)
    loss = normal_expected_loss(mean, sd)
    assert (loss >= 0.0).all()
    np.testing.assert_allclose(loss + mean, loss[0] + mean[0], rtol=0.0, atol=ABSOLUTE)


@pytest.mark.parametrize(
    ("mean", "sd", "truth"),
    [
        ([0.4], [0.3], [0.0]),
        ([0.2, 0.2], [0.0, 0.0], [0.0, 0.0]),
        ([1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 1.0, 0.5]),
        ([0.0, 0.0], [0.0, 1.0], [1.0 / np.sqrt(2.0 * np.pi)] * 2),
    ],
)
def test_losses_of_what_is_certain(mean: list[float], sd: list[float], truth: list[float]) -> None:
    assert normal_expected_loss(mean, sd) == pytest.approx(truth, abs=1e-7)


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
    assert normal_expected_loss(mean, np.zeros(2)) == pytest.approx([2.0 * unit, 0.0], rel=1e-7, abs=1e-8 * unit)


def test_scores_far_behind_change_nothing_for_the_others() -> None:
    alone = normal_prob_best([0.0, 0.1], [0.1, 0.2])
    crowded = normal_prob_best([0.0, 0.1, *[-50.0] * 20], [0.1, 0.2, *[0.5] * 20])
    assert crowded == pytest.approx([*alone, *[0.0] * 20], abs=1e-9)


@given(st.lists(st.lists(st.floats(0.0, 2.0), min_size=3, max_size=3), min_size=1, max_size=6))
def test_products_of_others_leave_one_row_out(rows: list[list[float]]) -> None:
    values = np.array(rows)
    left_out = [np.delete(values, row, axis=0).prod(axis=0) for row in range(len(values))]
    np.testing.assert_allclose(products_of_others(values), left_out, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(
    ("mean", "sd", "message"),
    [
        ([], [], r"mean and sd must have one shape \(K,\), got \(0,\) and \(0,\)"),
        ([1.0], [1.0, 2.0], r"got \(1,\) and \(2,\)"),
        ([[1.0]], [[1.0]], r"got \(1, 1\) and \(1, 1\)"),
        ([np.nan, 0.0], [1.0, 1.0], "means must be finite, and deviations finite and at least 0"),
        ([0.0, 0.0], [1.0, np.inf], "deviations finite and at least 0"),
        ([0.0, 0.0], [1.0, -0.1], "deviations finite and at least 0"),
    ],
)
def test_what_is_no_score_is_refused(mean: list[float], sd: list[float], message: str) -> None:
    for asked in (normal_prob_best, normal_expected_loss):
        with pytest.raises(ValueError, match=message):
            asked(mean, sd)
