"""Effects of pairs: closed forms, what holds of every set of arms, and what holds however often one looks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from bandit_core.adaptive.effect import TIGHTEST_AT, Effects, effects, mixture_rate
from bandit_core.adaptive.pair_sums import PairSums


def even(count: list[int], won: list[int]) -> PairSums:
    """Return the sums of an even split."""
    arms = len(count)
    return PairSums.of(np.full(arms, 1.0 / arms), count, won, won)


def test_an_even_split_is_the_two_sample_comparison() -> None:
    found = effects(even([4_000, 5_000], [400, 600]))
    rate = 1_000 / 9_000
    error = math.sqrt(rate * (1 - rate) * (1 / 4_000 + 1 / 5_000))
    assert found.difference[1, 0] == pytest.approx(600 / 5_000 - 400 / 4_000)
    assert found.deviation[1, 0] == pytest.approx(error)
    assert found.fixed_half_width(0.05)[0, 1] == pytest.approx(stats.norm.ppf(0.975) * error)
    assert found.prob_better()[1, 0] == pytest.approx(stats.norm.cdf(0.02 / error))


@pytest.mark.parametrize("error", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("information", [100.0, 1_250.0, 40_000.0])
def test_the_boundary_is_where_the_mixture_reaches_its_bound(error: float, information: float) -> None:
    """∫ exp(λ x − λ² I / 2) N(λ; 0, ρ²) dλ = 1 / α, with x = d I / σ at the boundary, integrated directly."""
    rate = mixture_rate(error)
    one = np.ones((1, 1))
    half = Effects(one, one, information * one, one > 0.0).half_width(error)[0, 0]
    x = half * information

    def integrand(slope: float) -> float:
        density = stats.norm.pdf(slope, scale=math.sqrt(rate))
        return float(math.exp(slope * x - slope * slope * information / 2.0) * density)

    peak, width = x / (information + 1.0 / rate), 1.0 / math.sqrt(information + 1.0 / rate)
    value = integrate.quad(integrand, peak - 12.0 * width, peak + 12.0 * width)[0]
    assert value == pytest.approx(1.0 / error, rel=1e-6)


def test_it_is_tightest_where_it_should_be() -> None:
    """Another ρ is wider at I = 1,250. The formula for ρ is an approximation, good to a thousandth of the width."""
    one = np.ones((1, 1))
    half = Effects(one, one, TIGHTEST_AT * one, one > 0.0).half_width(0.05)[0, 0]
    rates = mixture_rate(0.05) * np.geomspace(0.2, 5.0, 101)
    widths = np.sqrt(2 * (TIGHTEST_AT + 1 / rates) * np.log(np.sqrt(TIGHTEST_AT * rates + 1) / 0.05)) / TIGHTEST_AT
    assert half <= widths.min() * 1.001
    assert half / (stats.norm.ppf(0.975) / math.sqrt(TIGHTEST_AT)) < 1.9


def test_nothing_is_said_before_there_is_enough() -> None:
    assert np.isinf(effects(even([200, 200], [100, 100])).half_width(0.05)[0, 1])
    assert np.isinf(effects(even([2_000, 2_000], [10, 9])).half_width(0.05)[0, 1])
    assert np.isfinite(effects(even([2_000, 2_000], [10, 9]), rates=False).half_width(0.05)[0, 1])
    assert np.isfinite(effects(even([2_000, 2_000], [10, 10])).half_width(0.05)[0, 1])


def test_arms_that_never_met_have_no_effect() -> None:
    sums = PairSums.of_versions(
        [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]],
        [[900, 900, 0], [900, 0, 900]],
        [[90, 95, 0], [90, 0, 300]],
        [[90, 95, 0], [90, 0, 300]],
    )
    found = effects(sums)
    assert found.difference[1, 2] == 0.0
    assert np.isinf(found.deviation[1, 2])
    assert found.prob_better()[1, 2] == 0.5
    assert found.advantage(0.95)[2] == -np.inf
    assert found.confidence(0.95)[2] == 0.0


arms_of_an_even_split = st.lists(st.tuples(st.integers(100, 20_000), st.floats(0.0, 1.0)), min_size=1, max_size=6)


@given(arms_of_an_even_split, st.floats(0.5, 0.999), st.floats(0.0, 0.2))
def test_an_arm_wins_exactly_with_its_confidence(
    arms: list[tuple[int, float]], asked: float, min_effect: float
) -> None:
    found = effects(even([n for n, _ in arms], [round(n * rate) for n, rate in arms]))
    ahead, confidence, progress = (
        found.advantage(asked), found.confidence(asked, min_effect), found.progress(asked, min_effect)
    )  # fmt: skip
    clear = np.abs(ahead - min_effect) > 1e-12
    assert ((ahead > min_effect) == (confidence >= asked))[clear].all()
    assert ((progress >= 1.0) == (confidence >= asked))[clear].all()
    assert np.count_nonzero(ahead > 0.0) <= 1
    assert ((confidence >= 0.0) & (confidence <= 1.0)).all()


def test_a_subset_is_judged_as_if_alone() -> None:
    whole = effects(even([5_000] * 4, [500, 620, 480, 700])).subset([0, 2])
    alone = effects(PairSums.of([0.25, 0.25], [5_000, 5_000], [500, 480], [500, 480]))
    np.testing.assert_allclose(whole.advantage(0.9), alone.advantage(0.9))


def test_a_design_effect_widens() -> None:
    sums = even([5_000, 5_000], [500, 600])
    wide, plain = effects(sums, design_effect=4.0).half_width(0.05), effects(sums).half_width(0.05)
    assert wide[0, 1] == pytest.approx(2.0 * plain[0, 1])


def test_values_have_the_residual_variance() -> None:
    rng = np.random.default_rng(0)
    rewards = [rng.normal(5.0, 3.0, 4_000), rng.normal(5.5, 3.0, 4_000)]
    sums = PairSums.of([0.5, 0.5], [4_000, 4_000], [r.sum() for r in rewards], [(r**2).sum() for r in rewards])
    found = effects(sums, rates=False)
    assert found.variance[0, 1] == pytest.approx(np.concatenate(rewards).var())
    assert found.deviation[0, 1] == pytest.approx(3.0 * math.sqrt(2 / 4_000), rel=0.03)


def test_equal_arms_are_hardly_ever_told_apart() -> None:
    """2,000 runs of an even split at a rate of .1, a look every 100 of 10,000 decisions: at most 5% plus 3 errors."""
    rng, runs = np.random.default_rng(1), 2_000
    false = np.zeros(runs, dtype=np.bool_)
    sums = PairSums.zeros(2, (runs,))
    for _ in range(100):
        count = rng.multinomial(100, [0.5, 0.5], runs)
        won = rng.binomial(count, 0.1)
        sums = sums + PairSums.of(np.full((runs, 2), 0.5), count, won, won)
        false |= (effects(sums).advantage(0.95) > 0.0).any(axis=1)
    assert false.mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("error", [0.0, 1.0, -0.1])
def test_an_error_that_makes_no_sense_is_refused(error: float) -> None:
    with pytest.raises(ValueError, match="error"):
        effects(even([500, 500], [50, 50])).half_width(error)
