"""Guardrails: their limits, their presets, and the projection that satisfies every limit at once."""

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from bandit_core.guardrails import Guardrails, InfeasibleLimits, common_shift, preset, project

TOLERANCE = 1e-12

Limits = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def projections(draw: st.DrawFn, *, max_arms: int = 12) -> Limits:
    """Draw a target and limits around a point of the simplex, so that the limits are feasible."""
    n_arms = draw(st.integers(1, max_arms))
    vectors = [draw(st.lists(numbers(0.0, 1.0), min_size=n_arms, max_size=n_arms)) for _ in range(4)]
    inside, below, above, target = (np.array(vector) for vector in vectors)
    assume(inside.sum() > 1e-3)
    inside = inside / inside.sum()
    tied = draw(st.booleans())  # Limits that touch the point leave little room, or none.
    lower = inside * (1.0 if tied and draw(st.booleans()) else below)
    upper = inside + (0.0 if tied and draw(st.booleans()) else above)
    scale = draw(st.sampled_from([1.0, 1.0, 5.0]))
    return scale * (target - draw(st.sampled_from([0.0, 0.5]))), np.minimum(lower, upper), upper


@given(projections())
def test_every_limit_holds_and_the_weights_sum_to_one(problem: Limits) -> None:
    target, lower, upper = problem
    weights = project(target, lower, upper)
    assert (lower <= weights).all()
    assert (weights <= upper).all()
    assert abs(weights.sum() - 1.0) <= TOLERANCE


@given(projections())
def test_projection_satisfies_the_karush_kuhn_tucker_conditions(problem: Limits) -> None:
    """Arms between their limits moved by one common amount, arms at a limit would have had to move further."""
    target, lower, upper = problem
    weights = project(target, lower, upper)
    shift = common_shift(target.tolist(), lower.tolist(), upper.tolist())
    moved = target - weights
    free = (weights > lower + TOLERANCE) & (weights < upper - TOLERANCE)
    assert np.abs(moved[free] - shift).max(initial=0.0) <= TOLERANCE
    assert (moved[weights > lower + TOLERANCE] >= shift - TOLERANCE).all()
    assert (moved[weights < upper - TOLERANCE] <= shift + TOLERANCE).all()


@given(projections())
def test_projecting_twice_is_projecting_once(problem: Limits) -> None:
    target, lower, upper = problem
    once = project(target, lower, upper)
    assert np.abs(project(once, lower, upper) - once).max() <= TOLERANCE


@given(projections(), st.randoms(use_true_random=False))
def test_the_order_of_the_arms_does_not_matter(problem: Limits, random: Random) -> None:
    order = list(range(len(problem[0])))
    random.shuffle(order)
    permuted = project(*(vector[order] for vector in problem))
    assert np.abs(permuted - project(*problem)[order]).max() <= TOLERANCE


@given(projections(), projections())
def test_projection_never_increases_the_distance_between_two_targets(problem: Limits, other: Limits) -> None:
    """A projection onto a convex set is non-expansive."""
    target, lower, upper = problem
    another = np.resize(other[0], target.shape)
    distance = float(np.linalg.norm(project(target, lower, upper) - project(another, lower, upper)))
    assert distance <= float(np.linalg.norm(target - another)) + TOLERANCE


@given(projections(max_arms=5))
def test_no_point_within_the_limits_is_nearer_by_a_quadratic_solver(problem: Limits) -> None:
    target, lower, upper = problem
    weights = project(target, lower, upper)
    solved = minimize(
        lambda w: ((w - target) ** 2).sum(),
        x0=np.clip(weights[::-1], lower, upper),
        jac=lambda w: 2.0 * (w - target),
        bounds=list(zip(lower, upper, strict=True)),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-14, "maxiter": 200},
    )
    assume(solved.success and abs(solved.x.sum() - 1.0) <= 1e-9)
    assert np.linalg.norm(weights - target) <= np.linalg.norm(solved.x - target) + 1e-7


def test_clamping_and_normalising_would_break_the_floor() -> None:
    """The reason for a projection: 0.1 and 0.1 clamped up, then divided by 1.2, is below 0.1."""
    weights = project(np.array([1.0, 0.0, 0.0]), 0.1)
    assert weights == pytest.approx([0.8, 0.1, 0.1], abs=TOLERANCE)
    assert weights.min() >= 0.1


def test_weights_that_respect_the_limits_are_left_as_they_are() -> None:
    weights = np.array([0.5, 0.3, 0.2])
    assert project(weights, 0.1, 0.6) == pytest.approx(weights, abs=1e-15)


def test_limits_that_meet_leave_their_only_point() -> None:
    weights = np.array([0.33, 0.33, 0.34])
    assert (project(np.array([1.0, 0.0, 0.0]), weights, weights) == weights).all()


def test_a_thousand_arms_are_projected_as_exactly_as_two() -> None:
    rng = np.random.default_rng(1)
    target, lower = rng.dirichlet(np.full(1000, 0.05)), np.full(1000, 5e-4)
    weights = project(target, lower, np.full(1000, 0.02))
    assert abs(weights.sum() - 1.0) <= TOLERANCE
    assert weights.min() >= 5e-4
    assert weights.max() <= 0.02


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0.6, 0.5], [1.0, 1.0], r"lower limits add up to 1\.1, more than 1 \(highest: 0\.6\)"),
        ([0.0, 0.0], [0.4, 0.5], r"upper limits add up to 0\.9, less than 1 \(lowest: 0\.4\)"),
        ([0.0, 0.3], [1.0, 0.2], r"lower limit 0\.3 of weight 1 is above its upper limit 0\.2"),
    ],
)
def test_limits_that_clash_are_named_with_their_numbers(lower: list[float], upper: list[float], message: str) -> None:
    with pytest.raises(InfeasibleLimits, match=message):
        project(np.array([0.5, 0.5]), np.array(lower), np.array(upper))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_target_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        project(np.array([0.5, bad]), 0.0)


def test_guardrails_limit_nothing_unless_told_to() -> None:
    assert Guardrails() == Guardrails(min_trials=0, max_step=1.0, min_weight=0.0, cooldown=0.0)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_trials": -1}, "min_trials must be a whole number of at least 0, got -1"),
        ({"min_trials": 1.5}, "min_trials must be a whole number"),
        ({"max_step": 0.0}, "max_step must be a finite number above 0 and at most 1, got 0"),
        ({"max_step": 1.1}, "max_step"),
        ({"min_weight": -0.1}, "min_weight must be a finite number of at least 0 and at most 1, got -0.1"),
        ({"min_weight": float("nan")}, "min_weight"),
        ({"cooldown": float("inf")}, "cooldown must be a finite number of at least 0, got inf"),
        ({"cooldown": "1h"}, "cooldown"),
    ],
)
def test_a_limit_out_of_its_range_is_named(limits: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Guardrails(**limits)  # type: ignore[arg-type]


def test_a_floor_that_cannot_be_given_to_every_arm_is_named_with_its_numbers() -> None:
    with pytest.raises(InfeasibleLimits, match=r"min_weight 0\.3 for each of 4 arms adds up to 1\.2.* at most 0\.25"):
        Guardrails(min_weight=0.3).check_feasible(4)
    Guardrails(min_weight=0.1).check_feasible(10)


@pytest.mark.parametrize("name", ["safe", "neutral", "explore"])
@pytest.mark.parametrize("n_arms", [1, 2, 3, 7, 100, 1000])
def test_every_preset_has_a_positive_floor_that_fits_any_number_of_arms(name: str, n_arms: int) -> None:
    guardrails = preset(name, n_arms)  # type: ignore[arg-type]
    assert 0.0 < guardrails.min_weight * n_arms <= 0.5
    guardrails.check_feasible(n_arms)


def test_presets_differ_in_what_they_hold_back() -> None:
    safe, neutral, explore = preset("safe", 4), preset("neutral", 4), preset("explore", 4)
    assert safe.min_trials > 0
    assert safe.max_step < 1.0
    assert safe.cooldown > 0.0
    for fast in (neutral, explore):
        assert (fast.max_step, fast.cooldown, fast.min_trials) == (1.0, 0.0, 0)
    assert explore.min_weight > safe.min_weight > neutral.min_weight


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown preset 'wild', known are 'safe', 'neutral', 'explore'"):
        preset("wild", 3)  # type: ignore[arg-type]
