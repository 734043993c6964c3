"""Draws follow the weights, units stick to arms, weight changes move few units, the holdout stands apart."""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bandit_core.assignment import Sampler, draw, drawn_from, in_holdout, rendezvous

SALT = b"a salt of the deployment"
UNITS = [f"user-{number}" for number in range(20_000)]
SMALLEST_P = 1e-4


@st.composite
def probability_vectors(draw_from: st.DrawFn) -> list[float]:
    """Vectors with zeros and with weights of very different size."""
    raw = draw_from(st.lists(st.just(0.0) | st.floats(1e-12, 1.0), min_size=1, max_size=20).filter(any))
    return [weight / math.fsum(raw) for weight in raw]


def assign(weights: Mapping[str, float], *, experiment: str = "homepage", salt: bytes = SALT) -> list[str]:
    return [rendezvous(weights, salt=salt, experiment=experiment, unit=unit) for unit in UNITS]


def goodness_of_fit(assigned: list[str], weights: Mapping[str, float]) -> float:
    counts = Counter(assigned)
    positive = {arm: weight for arm, weight in weights.items() if weight > 0}
    expected = np.array(list(positive.values())) / sum(positive.values()) * len(assigned)
    return float(stats.chisquare([counts[arm] for arm in positive], expected).pvalue)


def independence(left: list[str], right: list[str]) -> float:
    return float(stats.chi2_contingency(stats.contingency.crosstab(left, right).count).pvalue)


def moved_units(before: Mapping[str, float], after: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(old, new) for old, new in zip(assign(before), assign(after), strict=True) if old != new]


def standard_errors_apart(observed_share: float, expected_share: float) -> float:
    return abs(observed_share - expected_share) / math.sqrt(expected_share * (1 - expected_share) / len(UNITS))


@given(weights=probability_vectors(), u=st.floats(0, 1))
def test_a_draw_never_returns_an_arm_of_weight_0(weights: list[float], u: float) -> None:
    assert weights[draw(weights, u)] > 0.0


@given(weights=probability_vectors(), u=st.floats(0, 1))
def test_one_draw_is_that_of_a_sampler(weights: list[float], u: float) -> None:
    assert drawn_from(weights, u) == Sampler(weights).draw(u)


@given(weights=probability_vectors())
def test_every_arm_owns_a_stretch_of_the_unit_interval_as_long_as_its_weight(weights: list[float]) -> None:
    sampler, points = Sampler(weights), 1_000
    counts = Counter(sampler.draw((point + 0.5) / points) for point in range(points))
    for arm, weight in enumerate(weights):
        assert abs(counts[arm] - points * weight) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("weights", "u", "arm"),
    [
        ([1.0], 0.0, 0),
        ([0.5, 0.5], 0.0, 0),
        ([0.5, 0.5], 0.5, 1),
        ([0.0, 0.5, 0.5], 0.0, 1),
        ([0.5, 0.5, 0.0], 1.0, 1),
        ([0.1] * 10, math.nextafter(1.0, 0.0), 9),
        ([0.1] * 10 + [0.0], 1.0, 9),
        ([0.4999999, 0.4999999], math.nextafter(1.0, 0.0), 1),
    ],
)
def test_draws_at_the_edges(weights: list[float], u: float, arm: int) -> None:
    assert draw(weights, u) == arm
    assert draw(np.array(weights), u) == arm


def test_draws_follow_the_weights() -> None:
    weights, draws = np.array([0.6, 0.25, 0.1, 0.0, 0.04, 0.01]), 100_000
    sampler = Sampler(weights)
    counts = np.bincount([sampler.draw(u) for u in np.random.default_rng(1).random(draws)], minlength=len(weights))
    positive = weights > 0
    assert counts[~positive].sum() == 0
    assert stats.chisquare(counts[positive], weights[positive] * draws).pvalue > SMALLEST_P


@pytest.mark.parametrize(
    "weights", [[], [0.5, 0.4], [0.6, 0.6], [1.5, -0.5], [math.nan, 1.0], [math.inf, 0.0], [0.0, 0.0]]
)
def test_weights_that_are_no_probability_vector_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="Weights must"):
        Sampler(weights)


@pytest.mark.parametrize("u", [-0.1, 1.1, math.nan])
def test_u_outside_0_1_is_refused(u: float) -> None:
    with pytest.raises(ValueError, match="u must be a uniform random number"):
        draw([1.0], u)


@pytest.mark.parametrize(
    "weights",
    [{"a": 0.6, "b": 0.3, "c": 0.1}, {"a": 3.0, "b": 0.0, "c": 1.0}, {f"arm-{number}": 0.1 for number in range(10)}],
)
def test_units_spread_over_the_arms_as_the_weights_say(weights: dict[str, float]) -> None:
    assigned = assign(weights)
    assert {weights[arm] > 0 for arm in assigned} == {True}
    assert goodness_of_fit(assigned, weights) > SMALLEST_P


@given(unit=st.text(), weights=st.dictionaries(st.text(), st.floats(1e-9, 1e9), min_size=1, max_size=8))
def test_an_assignment_depends_on_neither_the_order_nor_the_scale_of_the_weights(
    unit: str, weights: dict[str, float]
) -> None:
    def arm(of: dict[str, float]) -> str:
        return rendezvous(of, salt=SALT, experiment="homepage", unit=unit)

    assert arm(dict(reversed(weights.items()))) == arm(weights)
    assert arm({name: weight * 4.0 for name, weight in weights.items()}) == arm(weights)


@pytest.mark.parametrize("growing", ["a", "b", "c", "d", "joining"])
def test_when_one_arm_grows_units_move_into_it_only_and_as_many_as_the_weights_differ(growing: str) -> None:
    """The least possible: the moved share is the total variation distance, within 4 standard errors."""
    before = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1, "joining": 0.0}
    raised = {**before, growing: before[growing] + 0.25}
    after = {arm: weight / 1.25 for arm, weight in raised.items()}
    moved = moved_units(before, after)
    assert {new for _, new in moved} == {growing}
    assert standard_errors_apart(len(moved) / len(UNITS), after[growing] - before[growing]) < 4


def test_when_an_arm_leaves_only_its_units_move() -> None:
    before = {"a": 0.5, "b": 0.3, "c": 0.2}
    moved = moved_units(before, {"a": 0.5, "b": 0.3})
    assert {old for old, _ in moved} == {"c"}
    assert len(moved) == assign(before).count("c")


@pytest.mark.parametrize("seed", range(5))
def test_any_change_moves_the_share_that_theory_says(seed: int) -> None:
    """One minus the probability Jaccard index of Moulton and Jiang, within 4 standard errors."""
    p, q = np.random.default_rng(seed).dirichlet([1.0] * 5, size=2)
    arms = [f"arm-{number}" for number in range(5)]
    moved = len(moved_units(dict(zip(arms, p, strict=True)), dict(zip(arms, q, strict=True)))) / len(UNITS)
    stay = sum(1.0 / np.maximum(p / p[i], q / q[i]).sum() for i in range(5))
    distance = 0.5 * np.abs(p - q).sum()
    assert standard_errors_apart(moved, 1.0 - stay) < 4
    assert distance <= 1.0 - stay <= 2.0 * distance / (1.0 + distance)


def test_experiments_and_salts_assign_independently() -> None:
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}
    here = assign(weights)
    assert independence(here, assign(weights, experiment="checkout")) > SMALLEST_P
    assert independence(here, assign(weights, salt=b"another salt")) > SMALLEST_P


def test_experiment_and_unit_are_kept_apart() -> None:
    """With 1,000 equal arms, two names that were mistaken for each other would agree on every one of 10 salts."""
    weights = dict.fromkeys([f"arm-{number}" for number in range(1_000)], 1.0)
    agreements = [
        rendezvous(weights, salt=bytes([salt]), experiment="ab", unit="c")
        == rendezvous(weights, salt=bytes([salt]), experiment="a", unit="bc")
        for salt in range(10)
    ]
    assert not all(agreements)


def test_assignments_are_a_contract() -> None:
    """These values must never change: every unit of every running experiment depends on them."""
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}
    assigned = [rendezvous(weights, salt=SALT, experiment="homepage", unit=f"user-{number}") for number in range(12)]
    held = [in_holdout(0.5, salt=SALT, experiment="homepage", unit=f"user-{number}") for number in range(12)]
    assert "".join(assigned) == "cabcacabcbaa"
    assert "".join("x" if member else "." for member in held) == ".....xxx...."


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_that_is_no_weight_is_refused_with_its_arm(weight: float) -> None:
    with pytest.raises(ValueError, match="The weight of arm 'b' must be a finite number >= 0"):
        rendezvous({"a": 1.0, "b": weight}, salt=SALT, experiment="homepage", unit="user")


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}])
def test_some_arm_must_have_weight(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="At least one arm must have a positive weight"):
        rendezvous(weights, salt=SALT, experiment="homepage", unit="user")


def test_a_salt_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 64 bytes, but it has 65"):
        in_holdout(0.1, salt=bytes(65), experiment="homepage", unit="user")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_the_holdout_takes_its_share_of_units(share: float) -> None:
    held = sum(in_holdout(share, salt=SALT, experiment="homepage", unit=unit) for unit in UNITS)
    assert stats.binomtest(held, len(UNITS), share).pvalue > SMALLEST_P


def test_a_growing_holdout_keeps_its_units() -> None:
    def members(share: float) -> set[str]:
        return {unit for unit in UNITS if in_holdout(share, salt=SALT, experiment="homepage", unit=unit)}

    assert members(0.1) < members(0.2)


def test_the_holdout_is_independent_of_the_arms() -> None:
    held = [str(in_holdout(0.2, salt=SALT, experiment="homepage", unit=unit)) for unit in UNITS]
    assert independence(held, assign({"a": 0.5, "b": 0.3, "c": 0.2})) > SMALLEST_P


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_holdout_share_outside_0_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="holdout share must lie between 0 and 1"):
        in_holdout(share, salt=SALT, experiment="homepage", unit="user")
