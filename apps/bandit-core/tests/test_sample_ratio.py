"""The tests of a split keep their error rate however often one looks, and find a wrong split."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, dirichlet_multinomial, multinomial

from bandit_core.sample_ratio import (
    SMALL_P_VALUE,
    ArmDraws,
    propensity_p_values,
    sample_ratio,
    sample_ratio_of_periods,
)

SHARES = {"bandit": 0.9, "holdout": 0.1}


def test_looking_after_every_hundred_units_keeps_the_error_rate() -> None:
    rng, runs, alarms = np.random.default_rng(0), 400, 0
    for _ in range(runs):
        held = np.cumsum(rng.binomial(100, 0.1, size=40))
        counts = [{"bandit": 100 * (look + 1) - int(n), "holdout": int(n)} for look, n in enumerate(held)]
        alarms += any(sample_ratio(count, SHARES).p_value <= 0.05 for count in counts)
    assert binomtest(alarms, runs, 0.05, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("strength", [1.0, 100.0])
def test_the_p_value_is_the_likelihood_ratio_of_the_split_and_a_dirichlet_around_it(strength: float) -> None:
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    split = np.array(list(shares.values()))
    for counts in ([520, 300, 180], [400, 400, 200], [0, 0, 40]):
        ratio = multinomial.pmf(counts, sum(counts), split) / dirichlet_multinomial.pmf(
            counts, strength * split, sum(counts)
        )
        found = sample_ratio(dict(zip(shares, counts, strict=True)), shares, strength)
        assert found.p_value == pytest.approx(min(1.0, float(ratio)), rel=1e-9)


@pytest.mark.parametrize("units", [50, 500, 5_000])
def test_where_the_split_is_right_a_p_value_of_alpha_is_no_more_frequent_than_alpha(units: int) -> None:
    held = np.arange(units + 1)
    p_values = np.array([sample_ratio({"bandit": units - n, "holdout": n}, SHARES).p_value for n in held.tolist()])
    for alpha in (0.01, 0.05, 0.2):
        assert binom.pmf(held, units, 0.1)[p_values <= alpha].sum() <= alpha


def test_a_split_that_is_off_is_found() -> None:
    found = sample_ratio({"bandit": 8_700, "holdout": 1_300}, SHARES)
    assert found.p_value < 1e-6
    assert found.expected == pytest.approx({"bandit": 9_000.0, "holdout": 1_000.0})


def test_without_data_there_is_nothing_to_say() -> None:
    assert sample_ratio({"bandit": 0, "holdout": 0}, SHARES).p_value == 1.0


@pytest.mark.parametrize(
    ("observed", "shares"),
    [
        ({"a": 1}, {"b": 1.0}),
        ({"a": 1, "b": 1}, {"a": 0.5, "b": 0.4}),
        ({"a": -1, "b": 1}, {"a": 0.5, "b": 0.5}),
        ({}, {}),
    ],
)
def test_what_makes_no_sense_is_refused(observed: dict[str, int], shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        sample_ratio(observed, shares)


def p_values(weights: NDArray[np.float64], arms: NDArray[np.int64]) -> dict[int, float]:
    """Return the p-values of decisions (n,) that were logged with weights (n, K)."""
    propensities = weights[np.arange(len(arms)), arms]
    return propensity_p_values(
        {int(arm): ArmDraws.of(propensities[arms == arm], np.ones((arms == arm).sum(), int)) for arm in np.unique(arms)}
    )


def moving_weights(rng: np.random.Generator, n: int, arms: int) -> NDArray[np.float64]:
    """Weights as a bandit publishes them: they move all the time, and some are small."""
    return rng.dirichlet(np.full(arms, 0.5), size=n) * 0.9 + 0.1 / arms


def drawn(rng: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    return (rng.random(len(weights))[:, None] > weights.cumsum(axis=1)).sum(axis=1).clip(max=weights.shape[1] - 1)


def test_draws_as_logged_are_rarely_blamed() -> None:
    rng, alarms, experiments = np.random.default_rng(5), 0, 100
    for _ in range(experiments):
        weights = moving_weights(rng, 1_000, 4)
        arms = drawn(rng, weights)
        alarms += any(min(p_values(weights[:n], arms[:n]).values()) < 0.05 for n in range(100, 1_001, 100))
    assert alarms / experiments <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / experiments)


def test_an_arm_that_is_drawn_too_often_is_found() -> None:
    rng = np.random.default_rng(6)
    weights = moving_weights(rng, 20_000, 4)
    served = weights * [1.5, 1.0, 1.0, 1.0]
    values = p_values(weights, drawn(rng, served / served.sum(axis=1, keepdims=True)))
    assert values[0] < 1e-4
    assert min(values[1], values[2], values[3]) > 0.05


def test_draws_add_up_in_any_portions() -> None:
    propensities, decisions = np.array([0.5, 0.2, 0.9]), np.array([3, 1, 2])
    whole = ArmDraws.of(propensities, decisions)
    parts = ArmDraws.of(propensities[:1], decisions[:1]) + ArmDraws.of(propensities[1:], decisions[1:])
    assert parts.draws == whole.draws
    assert parts.represented == pytest.approx(whole.represented)
    assert parts.gains == pytest.approx(whole.gains)
    assert ArmDraws() + whole == whole


def test_shares_that_changed_are_those_of_their_time() -> None:
    """A tenth, then half, both as they should be: pooled against the last share it looks impossible."""
    periods = [({"bandit": 9_020, "holdout": 980}, {"bandit": 0.9, "holdout": 0.1})]
    periods += [({"bandit": 4_970, "holdout": 5_030}, {"bandit": 0.5, "holdout": 0.5})]
    found = sample_ratio_of_periods(periods)
    assert found.p_value > 0.5
    assert found.expected == pytest.approx({"bandit": 14_000, "holdout": 6_000})
    assert sample_ratio(found.observed, {"bandit": 0.5, "holdout": 0.5}).p_value < 1e-12


def test_a_share_that_is_not_kept_is_found() -> None:
    periods = [({"bandit": 9_000, "holdout": 1_000}, {"bandit": 0.9, "holdout": 0.1})]
    periods += [({"bandit": 7_000, "holdout": 3_000}, {"bandit": 0.5, "holdout": 0.5})]
    assert sample_ratio_of_periods(periods).p_value < SMALL_P_VALUE


def test_one_share_is_the_plain_test() -> None:
    shares = {"bandit": 0.8, "holdout": 0.2}
    halves = [({"bandit": 410, "holdout": 90}, shares), ({"bandit": 395, "holdout": 105}, shares)]
    assert sample_ratio_of_periods(halves) == sample_ratio({"bandit": 805, "holdout": 195}, shares)
    with pytest.raises(ValueError, match="period"):
        sample_ratio_of_periods([])
