"""Ordered slates: their probabilities add up, agree with P(best), and are those the slates are drawn with."""

from collections import Counter
from itertools import permutations
from math import perm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bandit_core.best_arm import prob_best
from bandit_core.slates import Slate, draw_slate, position_probabilities, slate_probability

ALPHA, BETA = np.array([5.0, 4.0, 0.5, 9.0]), np.array([10.0, 6.0, 1.5, 30.0])

type Sample = tuple[float, list[Slate]]
"""The share of uniform slates, and slates of three arms drawn with it."""

parameters = st.floats(np.log(0.1), np.log(1e4)).map(lambda logarithm: float(np.exp(logarithm)))
arms = st.lists(st.tuples(parameters, parameters), min_size=2, max_size=5)


def every_slate(count: int, k: int) -> list[tuple[int, ...]]:
    return list(permutations(range(count), k))


def drawn(epsilon: float, count: int) -> list[Slate]:
    rng = np.random.default_rng(7)
    return [draw_slate(ALPHA, BETA, 3, epsilon, rng) for _ in range(count)]


@pytest.fixture(
    scope="module",
    params=[
        (0.25, 2_000),
        pytest.param((0.0, 40_000), marks=pytest.mark.verify),
        pytest.param((0.25, 40_000), marks=pytest.mark.verify),
    ],
)
def sample(request: pytest.FixtureRequest) -> Sample:
    epsilon, count = request.param
    return epsilon, drawn(epsilon, count)


@settings(max_examples=25, deadline=None)
@given(arms, st.data())
def test_the_probabilities_of_all_ordered_slates_sum_to_1(
    given_arms: list[tuple[float, float]], data: st.DataObject
) -> None:
    alpha, beta = np.array(given_arms).T
    k = data.draw(st.integers(1, min(3, len(alpha))))
    total = sum(slate_probability(alpha, beta, slate, 0.0) for slate in every_slate(len(alpha), k))
    assert total == pytest.approx(1.0, abs=1e-8)


@settings(max_examples=50, deadline=None)
@given(arms)
def test_a_slate_of_one_arm_has_the_probability_of_being_best(given_arms: list[tuple[float, float]]) -> None:
    alpha, beta = np.array(given_arms).T
    truth = prob_best(alpha, beta)
    np.testing.assert_allclose(position_probabilities(alpha, beta, 1, 0.0)[:, 0], truth, rtol=0.0, atol=1e-8)
    alone = [slate_probability(alpha, beta, [arm], 0.0) for arm in range(len(alpha))]
    np.testing.assert_allclose(alone, truth, rtol=0.0, atol=1e-8)


@settings(max_examples=50, deadline=None)
@given(arms, st.floats(0.0, 1.0), st.data())
def test_every_position_is_given_to_somebody(
    given_arms: list[tuple[float, float]], epsilon: float, data: st.DataObject
) -> None:
    alpha, beta = np.array(given_arms).T
    positions = position_probabilities(alpha, beta, data.draw(st.integers(1, len(alpha))), epsilon)
    np.testing.assert_allclose(positions.sum(axis=0), 1.0, rtol=0.0, atol=1e-8)
    assert (positions >= epsilon / len(alpha) - 1e-15).all()


def test_a_slate_of_all_arms_gives_every_arm_one_position() -> None:
    np.testing.assert_allclose(position_probabilities(ALPHA, BETA, 4, 0.1).sum(axis=1), 1.0, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_positions_are_what_the_slates_with_the_arm_there_add_up_to(epsilon: float) -> None:
    positions = np.zeros((4, 3))
    for slate in every_slate(4, 3):
        for position, arm in enumerate(slate):
            positions[arm, position] += slate_probability(ALPHA, BETA, slate, epsilon)
    np.testing.assert_allclose(position_probabilities(ALPHA, BETA, 3, epsilon), positions, rtol=0.0, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(arms, st.integers(0, 1_000))
def test_the_order_of_arms_does_not_matter(given_arms: list[tuple[float, float]], seed: int) -> None:
    alpha, beta = np.array(given_arms).T
    order = np.random.default_rng(seed).permutation(len(alpha))
    np.testing.assert_allclose(
        position_probabilities(alpha[order], beta[order], 2, 0.1),
        position_probabilities(alpha, beta, 2, 0.1)[order],
        rtol=0.0,
        atol=1e-8,
    )


def test_arms_with_beta_1_are_ranked_by_plackett_and_luce() -> None:
    """F_i(x) = x^α_i: the arm drawn first has P = α_i / Σ α, the next is drawn from the rest alike."""
    alpha = np.array([1.0, 2.0, 4.0, 0.5])
    truth = alpha[2] / 7.5 * alpha[0] / 3.5 * alpha[1] / 2.5
    assert slate_probability(alpha, np.ones(4), [2, 0, 1], 0.0) == pytest.approx(truth, abs=1e-10)


def test_slates_are_drawn_with_the_probabilities_they_carry(sample: Sample) -> None:
    """Chi-square over all slates that may come five times at least, the others together."""
    epsilon, slates = sample
    truth = {slate: slate_probability(ALPHA, BETA, slate, epsilon) for slate in every_slate(4, 3)}
    for slate in slates[:50]:
        assert slate.joint == pytest.approx(truth[slate.arms], abs=1e-12)
    counts = Counter(slate.arms for slate in slates)
    frequent = [slate for slate, chance in truth.items() if chance * len(slates) >= 5.0]
    observed, expected = [counts[slate] for slate in frequent], [len(slates) * truth[slate] for slate in frequent]
    if len(frequent) < len(truth):
        observed.append(len(slates) - sum(observed))
        expected.append(len(slates) - sum(expected))
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_arms_come_at_their_positions_as_often_as_is_said(sample: Sample) -> None:
    """Within 4 standard errors; what a slate carries is the probability of its arms at their positions."""
    epsilon, slates = sample
    truth, shares = position_probabilities(ALPHA, BETA, 3, epsilon), np.zeros((4, 3))
    for slate in slates:
        shares[list(slate.arms), range(3)] += 1.0 / len(slates)
    assert (np.abs(shares - truth) < 4.0 * np.sqrt(truth * (1.0 - truth) / len(slates))).all()
    for slate in slates[:50]:
        np.testing.assert_allclose(slate.marginals, truth[list(slate.arms), range(3)], rtol=0.0, atol=1e-12)


def test_with_probability_epsilon_the_slate_is_any() -> None:
    """A sure ranking, mixed: its own slate has 1 − ε more than each of the others."""
    alpha, beta = np.array([9e4, 5e4, 1e4]), np.array([1e4, 5e4, 9e4])
    assert slate_probability(alpha, beta, [0, 1], 0.3) == pytest.approx(0.7 + 0.3 / perm(3, 2), abs=1e-10)
    assert slate_probability(alpha, beta, [2, 0], 0.3) == pytest.approx(0.3 / perm(3, 2), abs=1e-10)
    np.testing.assert_allclose(
        position_probabilities(alpha, beta, 2, 0.3), [[0.8, 0.1], [0.1, 0.8], [0.1, 0.1]], atol=1e-10
    )


def test_a_uniform_slate_has_closed_probabilities() -> None:
    slate = draw_slate(ALPHA, BETA, 3, 1.0, np.random.default_rng(1))
    assert len(set(slate.arms)) == 3
    assert (slate.joint, slate.marginals) == (1.0 / 24.0, (0.25, 0.25, 0.25))


def test_samples_that_tie_are_ranked_by_lot() -> None:
    """So tiny an alpha leaves every sample at 0."""
    rng = np.random.default_rng(3)
    firsts = Counter(draw_slate(np.full(3, 1e-8), np.ones(3), 1, 0.0, rng).arms[0] for _ in range(150))
    assert all(abs(firsts[arm] - 50) < 4.0 * np.sqrt(150 * 2 / 9) for arm in range(3))


def test_samples_too_near_to_0_to_be_told_apart_are_ranked_as_they_are() -> None:
    """With such an α nearly all samples are below the smallest number there is: Plackett and Luce still hold."""
    alpha, rng = np.array([1e-5, 3e-5]), np.random.default_rng(3)
    assert slate_probability(alpha, np.ones(2), [1], 0.0) == pytest.approx(0.75, abs=1e-9)
    firsts = sum(draw_slate(alpha, np.ones(2), 1, 0.0, rng).arms[0] for _ in range(200))
    assert abs(firsts - 150) < 4.0 * np.sqrt(200 * 0.75 * 0.25)


def test_middle_positions_of_many_like_arms_are_as_exact_as_the_first() -> None:
    """The middle of 60 like arms is a narrow place: what they get there is 1 / 60 each."""
    positions = position_probabilities(np.full(60, 50.0), np.full(60, 450.0), 20, 0.0)
    np.testing.assert_allclose(positions, 1.0 / 60.0, rtol=1e-8)


def test_the_same_generator_gives_the_same_slates() -> None:
    assert drawn(0.2, count=20) == drawn(0.2, count=20)


def test_many_arms_and_positions_work() -> None:
    rng = np.random.default_rng(9)
    alpha, beta = rng.uniform(1.0, 50.0, 100), rng.uniform(50.0, 500.0, 100)
    slate = draw_slate(alpha, beta, 20, 0.1, rng)
    assert len(set(slate.arms)) == 20
    assert 0.0 < slate.joint < min(slate.marginals) <= 1.0


@pytest.mark.parametrize(
    ("k", "epsilon", "message"),
    [
        (0, 0.0, "a slate of 4 arms has 1 to 4 positions, got 0"),
        (5, 0.0, "a slate of 4 arms has 1 to 4 positions, got 5"),
        (2, -0.1, "epsilon must be a finite number of at least 0 and at most 1, got -0.1"),
        (2, 1.1, "epsilon must be .* at most 1, got 1.1"),
    ],
)
def test_sizes_and_shares_out_of_range_are_refused(k: int, epsilon: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_slate(ALPHA, BETA, k, epsilon, np.random.default_rng(1))
    with pytest.raises(ValueError, match=message):
        position_probabilities(ALPHA, BETA, k, epsilon)


@pytest.mark.parametrize("slate", [[0, 0], [4], [-1]])
def test_arms_that_repeat_or_are_not_there_are_no_slate(slate: list[int]) -> None:
    with pytest.raises(ValueError, match="arms must be different indices below 4, got"):
        slate_probability(ALPHA, BETA, slate, 0.0)


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="alpha"):
        draw_slate([0.0, 1.0], [1.0, 1.0], 1, 0.0, np.random.default_rng(1))
