"""The sequential ridge posterior: against the batch solution, the closed form of forgetting, and itself as bytes."""

import os
import subprocess
import sys
from collections.abc import Container, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandit_core import linear
from bandit_core.contextual import LinearBeliefs, LinearThompson, LinUCB, linear_weights
from bandit_core.linear import LinearArm, LinearPrior

type Array = NDArray[np.float64]

UPDATES = 10_000
DIMENSIONS = (2, 8, 32, *(pytest.param(dimension, marks=pytest.mark.verify) for dimension in (64, 128)))
SCALES = ("alike", "badly scaled", "huge")


def contexts(dimension: int, scale: str, count: int, seed: int) -> Array:
    """Vectors with an intercept.

    Badly scaled ones range from a thousandth to a thousand and are nearly collinear; huge ones have a feature that
    hardly moves from 200,000.
    """
    rng = np.random.default_rng([seed, dimension])
    x = rng.normal(size=(count, dimension))
    if scale == "badly scaled":
        x[:, 1:] += 30.0 * x[:, :1]
        x *= np.geomspace(1e-3, 1e3, dimension)
    if scale == "huge":
        x[:, 0] = 2e5 * (1.0 + 0.01 * x[:, 0])
    x[:, -1] = 1.0
    return x


def rewards_of(x: Array, seed: int) -> Array:
    rng = np.random.default_rng([seed, 1])
    chance = 1.0 / (1.0 + np.exp(-(x / np.abs(x).max(axis=0)) @ rng.normal(size=x.shape[1])))
    return np.asarray(rng.random(len(x)) < chance, dtype=np.float64)


def learnt(prior: LinearPrior, x: Array, rewards: Array, at: Sequence[float] | None = None) -> LinearArm:
    arm = LinearArm.of(prior)
    for row, reward, time in zip(x, rewards, at if at is not None else [0.0] * len(x), strict=True):
        arm = arm.update(prior, row, float(reward), float(time))
    return arm


def batch(x: Array, rewards: Array, ridge: float = 1.0, weights: Array | None = None) -> tuple[Array, Array]:
    """Ridge regression from all data at once: coefficients and covariance by the normal equations.

    They are solved with every column scaled to one length: the scaling changes no solution, and spares digits.
    """
    kept = np.ones(len(x)) if weights is None else weights
    precision = ridge * np.eye(x.shape[1]) + (x * kept[:, None]).T @ x
    unit = 1.0 / np.sqrt(np.diag(precision))
    scaled = precision * np.outer(unit, unit)
    theta = unit * np.linalg.solve(scaled, unit * ((kept * rewards) @ x))
    return theta, np.outer(unit, unit) * np.linalg.solve(scaled, np.eye(x.shape[1]))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_10_000_updates_agree_with_the_batch_solution_within_1e_8(dimension: int, scale: str) -> None:
    """Beside a second arm with a tenth of the data, the decisions in 100 new contexts are the batch solution's, too."""
    prior = LinearPrior(dimension)
    data = [contexts(dimension, scale, count, seed=count) for count in (UPDATES, UPDATES // 10)]
    rewards = [rewards_of(x, seed) for seed, x in enumerate(data)]
    arms = [learnt(prior, *each) for each in zip(data, rewards, strict=True)]
    truth = [batch(*each) for each in zip(data, rewards, strict=True)]
    for arm, (theta, covariance) in zip(arms, truth, strict=True):
        unit = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(arm.mean, theta, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(arm.covariance / np.outer(unit, unit), covariance / np.outer(unit, unit), atol=1e-8)
    assert arms[0].count == UPDATES
    sequential = LinearBeliefs.of(dict(zip("ab", arms, strict=True)))
    at_once = LinearBeliefs(("a", "b"), np.array([t for t, _ in truth]), np.array([c for _, c in truth]))
    for x in contexts(dimension, scale, 100, seed=3):
        for policy in (LinUCB(), LinearThompson()):
            ours, theirs = (linear_weights(policy, beliefs, x, 0.0) for beliefs in (sequential, at_once))
            np.testing.assert_allclose(ours, theirs, atol=1e-8)


@pytest.mark.parametrize(("scale", "times"), [("alike", {0}), ("badly scaled", range(1, 20)), ("huge", range(1, 20))])
def test_the_inverse_is_computed_anew_where_rounding_asks_for_it(
    scale: str, times: Container[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[Array] = []
    anew = linear._inverse

    def recorded(precision: Array) -> Array:
        computed.append(precision)
        return anew(precision)

    monkeypatch.setattr(linear, "_inverse", recorded)
    x = contexts(8, scale, 1_000, seed=1)
    learnt(LinearPrior(8), x, rewards_of(x, 1))
    assert len(computed) in times


def test_without_computing_it_anew_the_inverse_would_drift_away(monkeypatch: pytest.MonkeyPatch) -> None:
    prior, x = LinearPrior(32), contexts(32, "huge", 1_000, seed=1)
    rewards = rewards_of(x, 1)
    theta, covariance = batch(x, rewards)

    def farthest_off() -> float:
        """In posterior standard deviations."""
        return float((np.abs(learnt(prior, x, rewards).mean - theta) / np.sqrt(np.diag(covariance))).max())

    assert farthest_off() < 1e-10
    monkeypatch.setattr(linear, "DRIFT", np.inf)
    assert farthest_off() > 1e-8


@pytest.mark.parametrize("half_life", [None, 50.0])
def test_the_same_events_give_the_same_bytes(half_life: float | None) -> None:
    """Also when the state was written and read in between, at any event."""
    prior = LinearPrior(8, half_life=half_life)
    x = contexts(8, "badly scaled", 300, seed=4)
    rewards, times = rewards_of(x, 4), np.arange(300.0)
    straight = learnt(prior, x, rewards, times.tolist()).to_bytes()
    assert learnt(prior, x, rewards, times.tolist()).to_bytes() == straight
    arm = LinearArm.of(prior)
    for row, reward, time in zip(x, rewards, times, strict=True):
        arm = LinearArm.from_bytes(arm.to_bytes()).update(prior, row, float(reward), float(time))
    assert arm.to_bytes() == straight


FOLD = """
import numpy as np
from bandit_core.linear import LinearArm, LinearPrior
for dimension, half_life in ((3, None), (32, None), (128, None), (32, 50.0)):
    prior = LinearPrior(dimension, half_life=half_life)
    arm, rng = LinearArm.of(prior), np.random.default_rng(dimension)
    for time, x in enumerate(rng.normal(size=(60, dimension))):
        x[:2] = 2e5 * (1.0 + 0.01 * x[:2])
        arm = arm.update(prior, x, time % 2, float(time))
    print((arm.to_bytes() + arm.covariance.tobytes() + arm.mean.tobytes()).hex())
"""


def test_other_processors_and_numbers_of_threads_give_the_same_bytes() -> None:
    """A rebuild may run elsewhere: on less cores, or on a processor without the newer instructions."""
    older = "AVX512_SKX AVX512_ICL X86_V4 AVX512F AVX512CD AVX2 FMA3 X86_V3"
    places = [
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": older},
    ]
    command = [sys.executable, "-W", "ignore::ImportWarning", "-c", FOLD]
    folds = {
        subprocess.run(command, env=os.environ | place, capture_output=True, check=True).stdout for place in places
    }
    assert len(folds) == 1


@pytest.mark.parametrize("half_life", [None, 3.0])
def test_bytes_bring_back_every_number(half_life: float | None) -> None:
    prior = LinearPrior(3, half_life=half_life)
    x = contexts(3, "alike", 5, seed=5)
    arm = learnt(prior, x, rewards_of(x, 5), [7.0, 8.0, 9.0, 9.5, 11.0])
    again = LinearArm.from_bytes(arm.to_bytes())
    assert (again.count, again.as_of) == (5, 11.0)
    assert np.array_equal(again.precision, arm.precision)
    assert np.array_equal(again.moment, arm.moment)
    assert (again.inverse is None) == (half_life is not None)
    assert np.array_equal(again.covariance, arm.covariance)
    assert np.array_equal(again.mean, arm.mean)


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_a_state_that_was_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="the state of a linear arm was cut off"):
        LinearArm.from_bytes(LinearArm.of(LinearPrior(2)).to_bytes()[:-cut])


@pytest.mark.parametrize("state", [b"", b"LIN1", b"LIN2" + bytes(60)])
def test_bytes_of_something_else_are_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="not the state of a linear arm"):
        LinearArm.from_bytes(state)


def test_the_prior_is_normal_around_zero_with_the_variance_1_over_ridge() -> None:
    arm = LinearArm.of(LinearPrior(3, ridge=4.0))
    assert arm.mean.tolist() == [0.0, 0.0, 0.0]
    assert np.array_equal(arm.covariance, np.eye(3) / 4.0)


@pytest.mark.parametrize("half_life", [0.5, 20.0, 1e6])
def test_with_a_half_life_data_weigh_2_to_the_minus_age_over_half_life_and_the_prior_stays(half_life: float) -> None:
    prior = LinearPrior(4, ridge=2.0, half_life=half_life)
    x = contexts(4, "alike", 200, seed=6)
    rewards = rewards_of(x, 6)
    times = np.cumsum(np.random.default_rng(6).exponential(0.5, size=200))
    arm = learnt(prior, x, rewards, times.tolist()).decayed(prior, times[-1] + 3.0)
    weights = 2.0 ** (-(times[-1] + 3.0 - times) / half_life)
    theta, covariance = batch(x, rewards, ridge=2.0, weights=weights)
    np.testing.assert_allclose(arm.mean, theta, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(arm.covariance, covariance, rtol=1e-10, atol=1e-13)


def test_after_many_half_lives_only_the_prior_is_left() -> None:
    prior = LinearPrior(3, ridge=2.0, half_life=1.0)
    x = contexts(3, "alike", 50, seed=7)
    faded = learnt(prior, x, rewards_of(x, 7)).decayed(prior, 100.0)
    np.testing.assert_allclose(faded.mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(faded.covariance, np.eye(3) / 2.0, atol=1e-12)


@given(st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_fading_twice_is_fading_once_for_as_long(first: float, second: float) -> None:
    prior = LinearPrior(3, half_life=10.0)
    x = contexts(3, "alike", 20, seed=8)
    arm = learnt(prior, x, rewards_of(x, 8))
    twice, once = arm.decayed(prior, first).decayed(prior, first + second), arm.decayed(prior, first + second)
    np.testing.assert_allclose(twice.precision, once.precision, rtol=1e-12)
    np.testing.assert_allclose(twice.moment, once.moment, rtol=1e-12)


def test_a_late_observation_counts_in_full_and_time_does_not_go_back() -> None:
    prior = LinearPrior(2, half_life=10.0)
    x = contexts(2, "alike", 2, seed=9)
    late = LinearArm.of(prior).update(prior, x[0], 1.0, 100.0).update(prior, x[1], 0.5, 40.0)
    in_time = LinearArm.of(prior).update(prior, x[0], 1.0, 100.0).update(prior, x[1], 0.5, 100.0)
    assert late.as_of == 100.0
    assert np.array_equal(late.precision, in_time.precision)
    assert np.array_equal(late.moment, in_time.moment)


@pytest.mark.parametrize("half_life", [None, 10.0])
def test_what_holds_no_data_or_is_not_older_does_not_fade(half_life: float | None) -> None:
    prior = LinearPrior(2, half_life=half_life)
    nothing = LinearArm.of(prior)
    assert nothing.decayed(prior, 1e9) is nothing
    arm = nothing.update(prior, np.array([0.3, 1.0]), 1.0, 100.0)
    assert arm.decayed(prior, 99.0) is arm


@given(st.integers(1, 6), st.integers(0, 1_000))
def test_the_order_of_observations_does_not_matter_where_nothing_fades(dimension: int, seed: int) -> None:
    prior = LinearPrior(dimension)
    x = np.random.default_rng(seed).normal(size=(12, dimension))
    rewards = rewards_of(x, seed)
    forwards, backwards = learnt(prior, x, rewards), learnt(prior, x[::-1], rewards[::-1])
    np.testing.assert_allclose(forwards.mean, backwards.mean, atol=1e-12)
    np.testing.assert_allclose(forwards.covariance, backwards.covariance, atol=1e-12)


def test_an_update_leaves_the_state_before_it_as_it_was() -> None:
    prior = LinearPrior(2, half_life=1.0)
    arm = LinearArm.of(prior).update(prior, np.array([0.5, 1.0]), 1.0, 0.0)
    before = arm.to_bytes()
    arm.update(prior, np.array([0.1, 1.0]), 0.0, 5.0)
    assert arm.to_bytes() == before


@pytest.mark.parametrize("half_life", [None, 1.0])
def test_nobody_can_write_into_a_posterior(half_life: float | None) -> None:
    prior = LinearPrior(2, half_life=half_life)
    arm = LinearArm.of(prior).update(prior, np.array([0.5, 1.0]), 1.0, 0.0).update(prior, np.ones(2), 1.0, 1.0)
    for each in (arm, LinearArm.from_bytes(arm.to_bytes())):
        for array in (each.precision, each.moment, each.covariance, each.mean):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 1.0


@pytest.mark.parametrize("ridge", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dimension", [2, 128])
@pytest.mark.parametrize("half_life", [None, 10.0])
def test_the_largest_numbers_allowed_leave_a_usable_posterior(
    ridge: float, dimension: int, half_life: float | None
) -> None:
    """A context can swamp the prior beyond what floats hold; then few digits are left, but nothing fails."""
    prior, x = LinearPrior(dimension, ridge=ridge, half_life=half_life), np.full(dimension, 1e6)
    arm = LinearArm.of(prior)
    for time in range(30):
        arm = arm.update(prior, x, 1.0, float(time))
    assert arm.mean @ x == pytest.approx(1.0, abs=0.1)
    assert np.isfinite(arm.covariance).all()
    assert (np.diag(arm.covariance) > 0.0).all()


@pytest.mark.parametrize("precision", [[[1.0, 0.0], [0.0, -1.0]], [[1.0, 2.0], [2.0, 1.0]]])
def test_a_precision_that_is_none_is_refused(precision: list[list[float]]) -> None:
    """Only a state that was not made here can hold one."""
    arm = LinearArm(np.array(precision), np.zeros(2), None, 1, 0.0)
    with pytest.raises(ValueError, match="the precision is not positive definite"):
        _ = arm.covariance


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"dimension": 0}, "dimension must be a whole number of at least 1, got 0"),
        ({"dimension": 129}, "dimension must be at most 128, got 129"),
        ({"dimension": 2, "ridge": 0.0}, "ridge must be a finite number above 0, got 0.0"),
        ({"dimension": 2, "half_life": -1.0}, "half_life must be a finite number above 0, got -1.0"),
    ],
)
def test_a_prior_out_of_range_is_refused(given_values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearPrior(**given_values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "reward", "message"),
    [
        ([1.0], 0.0, r"x must have the shape \(2,\), got \(1,\)"),
        ([[1.0, 2.0]], 0.0, r"x must have the shape \(2,\), got \(1, 2\)"),
        ([1.0, np.nan], 0.0, r"x must consist of finite numbers within ±1e\+06"),
        ([1.0, np.inf], 0.0, "x must consist of finite numbers"),
        ([1.0, -1.1e6], 0.0, "x must consist of finite numbers"),
        ([1.0, 1.0], np.nan, "reward must be a finite number, got nan"),
        ([1.0, 1.0], -np.inf, "reward must be a finite number, got -inf"),
    ],
)
def test_an_observation_out_of_range_is_refused(x: list[float], reward: float, message: str) -> None:
    prior = LinearPrior(2)
    with pytest.raises(ValueError, match=message):
        LinearArm.of(prior).update(prior, np.array(x), reward, 0.0)
