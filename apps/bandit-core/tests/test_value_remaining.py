"""Value remaining: closed forms, an independent integral, simulation where the integral is hard, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import beta as beta_distribution

from bandit_core.best_arm import best_arm, prob_best
from bandit_core.value_remaining import value_remaining

levels = st.floats(0.6, 0.999)


@settings(max_examples=15)
@given(levels)
def test_two_flat_posteriors_have_the_distribution_of_a_triangle(level: float) -> None:
    """P(V > v) = (1 − v)² / 2, and P(V / θ_L > v) = 1 / (2 + 2v)."""
    assert value_remaining([1, 1], [1, 1], level=level) == pytest.approx(1 - np.sqrt(2 * (1 - level)), abs=1e-10)
    assert value_remaining([1, 1], [1, 1], level=level, relative=True) == pytest.approx(
        1 / (2 * (1 - level)) - 1, rel=1e-9
    )


def chance_to_exceed(alpha: NDArray[np.float64], beta: NDArray[np.float64], v: float, *, relative: bool) -> float:
    """Return P(V > v) by scipy: over the leader's θ, that not all others stay below θ + v, or below (1 + v) θ."""
    leader = int(np.argmax(prob_best(alpha, beta)))
    others = beta_distribution(np.delete(alpha, leader), np.delete(beta, leader))
    own = beta_distribution(alpha[leader], beta[leader])

    def lost_here(x: float) -> float:
        return float(own.pdf(x) * (1.0 - np.prod(others.cdf(x * (1.0 + v) if relative else x + v))))

    places = [float(own.ppf(tail)) for tail in (1e-9, 1e-3, 0.5, 0.999, 1.0 - 1e-9)]
    return float(quad(lost_here, places[0], places[-1], points=places[1:-1], epsabs=1e-12, limit=400)[0])


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    ("alpha", "beta"),
    [
        ([3, 4], [5, 5]),
        ([101, 113, 90], [9901, 9889, 9912]),
        ([2, 30, 400], [3, 28, 380]),
        ([1e5, 1e5 + 300, 20], [1e6, 1e6, 180]),
        ([20] * 10, [80] * 10),
    ],
)
def test_the_quantile_is_exceeded_with_the_probability_that_is_left(
    alpha: list[float], beta: list[float], *, relative: bool
) -> None:
    remaining = value_remaining(alpha, beta, level=0.9, relative=relative)
    exceeded = chance_to_exceed(np.array(alpha, dtype=float), np.array(beta, dtype=float), remaining, relative=relative)
    assert exceeded == pytest.approx(0.1, abs=1e-8)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    ("alpha", "beta"),
    [
        ([0.05, 0.05], [0.05, 0.05]),
        ([0.05, 5e5], [0.04, 5e5]),
        ([0.05, 0.05, 0.06], [1, 1e3, 1e6]),
        ([2, 1, 0.05], [1e6, 1e6, 1e6]),
        ([1e6, 1e6], [1e6, 1e6]),
    ],
)
def test_hard_shapes_agree_with_simulation(alpha: list[float], beta: list[float], *, relative: bool) -> None:
    draws = np.random.default_rng(7).beta(alpha, beta, (200_000, len(alpha)))
    own = draws[:, best_arm(alpha, beta).leader]
    remaining = value_remaining(alpha, beta, level=0.9, relative=relative)
    exceeded = (draws.max(axis=1) - own > remaining * (own if relative else 1.0)).mean()
    assert exceeded == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / len(draws)))


def test_nothing_remains_once_the_leader_is_best_with_the_probability_asked_for() -> None:
    alpha, beta = [100, 160], [900, 840]
    chance = best_arm(alpha, beta).prob_best[1]
    assert value_remaining(alpha, beta, level=chance - 1e-9) == 0.0
    assert 0.0 < value_remaining(alpha, beta, level=chance + 1e-5) < 2e-3
    assert value_remaining([3], [4]) == 0.0


@settings(max_examples=10)
@given(levels, levels)
def test_more_certainty_leaves_more_value(one: float, other: float) -> None:
    low, high = sorted([one, other])
    alpha, beta = [5, 7, 3], [20, 22, 9]
    assert value_remaining(alpha, beta, level=low) <= value_remaining(alpha, beta, level=high) + 1e-12


def test_a_ratio_beyond_floating_point_is_infinite() -> None:
    assert value_remaining([1e-4, 1e-4], [1e-4, 1e-4], relative=True, level=0.7) == np.inf


@pytest.mark.parametrize("level", [0.0, 1.0, float("nan")])
def test_a_level_that_is_no_probability_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        value_remaining([1, 1], [1, 1], level=level)
