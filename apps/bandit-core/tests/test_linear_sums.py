"""Linear models from exact sums: the same in any order, and the ridge regression of all data at once."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandit_core.linear import LinearArm, LinearPrior
from bandit_core.linear_sums import KEPT_HALF_LIVES, MICRO, LinearSums

type Array = NDArray[np.float64]


def observations(count: int, dimension: int, seed: int, scale: float = 1.0) -> tuple[Array, NDArray[np.int64], Array]:
    """Contexts, rewards and times; the contexts are whole millionths, so that rounding changes none."""
    rng = np.random.default_rng([seed, dimension])
    contexts = np.round(scale * rng.normal(size=(count, dimension)), 6)
    contexts[:, -1] = 1.0
    return contexts, rng.integers(0, MICRO, count, endpoint=True), np.round(rng.uniform(0.0, 300.0, count), 3)


def ridge_regression(contexts: Array, rewards: Array, weights: Array, ridge: float = 1.0) -> tuple[Array, Array]:
    precision = ridge * np.eye(contexts.shape[1]) + (contexts * weights[:, None]).T @ contexts
    return np.linalg.solve(precision, (weights * rewards) @ contexts), np.linalg.inv(precision)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 40), st.sampled_from([None, 5.0, 60.0, 1e4]))
def test_any_order_and_batching_gives_the_same_bytes(
    seed: int, dimension: int, count: int, half_life: float | None
) -> None:
    prior = LinearPrior(dimension, half_life=half_life)
    contexts, rewards, times = observations(count, dimension, seed)
    at_once = LinearSums.of(prior).plus(contexts, rewards, times)
    rng = np.random.default_rng(seed)
    sums = LinearSums.of(prior)
    for piece in np.array_split(rng.permutation(count), rng.integers(1, count, endpoint=True)):
        sums = LinearSums.from_bytes(sums.to_bytes()).plus(contexts[piece], rewards[piece], times[piece])
    assert sums.to_bytes() == at_once.to_bytes()
    ours, theirs = sums.model(prior, 400.0), at_once.model(prior, 400.0)
    assert np.array_equal(ours.mean, theirs.mean)
    assert np.array_equal(ours.covariance, theirs.covariance)


@pytest.mark.parametrize("dimension", [1, 8, 32])
@pytest.mark.parametrize("scale", [0.01, 1.0, 1_000.0])
def test_the_model_is_the_ridge_regression_of_all_data(dimension: int, scale: float) -> None:
    prior = LinearPrior(dimension, ridge=2.0)
    contexts, rewards, times = observations(1_000, dimension, 3, scale)
    model = LinearSums.of(prior).plus(contexts, rewards, times).model(prior, 0.0)
    mean, covariance = ridge_regression(contexts, rewards / MICRO, np.ones(1_000), 2.0)
    np.testing.assert_allclose(model.mean, mean, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.covariance, covariance, rtol=1e-8, atol=1e-15)
    assert (model.count, model.as_of) == (1_000, times.max())


def test_without_a_half_life_it_agrees_with_updates_one_by_one() -> None:
    prior = LinearPrior(5)
    contexts, rewards, times = observations(200, 5, 4)
    arm = LinearArm.of(prior)
    for x, reward, time in zip(contexts, rewards / MICRO, times, strict=True):
        arm = arm.update(prior, x, float(reward), float(time))
    model = LinearSums.of(prior).plus(contexts, rewards, times).model(prior, 0.0)
    np.testing.assert_allclose(model.mean, arm.mean, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(model.covariance, arm.covariance, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("half_life", [20.0, 100.0, 1e7])
def test_with_a_half_life_an_observation_weighs_by_its_age(half_life: float) -> None:
    prior = LinearPrior(4, ridge=2.0, half_life=half_life)
    contexts, rewards, times = observations(300, 4, 5)
    sums = LinearSums.of(prior).plus(contexts, rewards, times)
    for at in (0.0, times.max() + 33.0):
        model = sums.model(prior, at)
        weights = 2.0 ** (-(max(at, times.max()) - times) / half_life)
        mean, covariance = ridge_regression(contexts, rewards / MICRO, weights, 2.0)
        np.testing.assert_allclose(model.mean, mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.covariance, covariance, rtol=1e-5, atol=1e-7)


def test_in_order_fading_is_that_of_updates_one_by_one() -> None:
    prior = LinearPrior(4, half_life=50.0)
    contexts, rewards, times = observations(200, 4, 6)
    times = np.sort(times)
    arm = LinearArm.of(prior)
    for x, reward, time in zip(contexts, rewards / MICRO, times, strict=True):
        arm = arm.update(prior, x, float(reward), float(time))
    model = LinearSums.of(prior).plus(contexts, rewards, times).model(prior, times[-1])
    np.testing.assert_allclose(model.mean, arm.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.covariance, arm.covariance, rtol=1e-5, atol=1e-7)


def test_what_is_too_old_to_matter_takes_no_room() -> None:
    prior = LinearPrior(2, half_life=1.0)
    contexts, rewards, _ = observations(500, 2, 7)
    sums = LinearSums.of(prior).plus(contexts, rewards, np.arange(500.0))
    assert len(sums.periods) == KEPT_HALF_LIVES
    assert sums.count == 500


def test_no_observation_leaves_the_prior() -> None:
    prior = LinearPrior(3, ridge=4.0)
    sums = LinearSums.of(prior)
    assert sums.plus(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0)) is sums
    model = sums.model(prior, 100.0)
    assert (model.count, model.as_of, model.mean.tolist()) == (0, 0.0, [0.0, 0.0, 0.0])
    np.testing.assert_allclose(model.covariance, np.eye(3) / 4.0, rtol=1e-15)


def test_sums_fit_a_prior_of_the_same_shape_and_half_life() -> None:
    sums = LinearSums.of(LinearPrior(3, half_life=2.0))
    assert sums.fits(LinearPrior(3, ridge=9.0, half_life=2.0))
    assert not sums.fits(LinearPrior(3))
    assert not sums.fits(LinearPrior(4, half_life=2.0))


FOLD = """
import numpy as np
from bandit_core.linear import LinearPrior
from bandit_core.linear_sums import LinearSums
for dimension in (3, 32, 128):
    prior, rng = LinearPrior(dimension), np.random.default_rng(dimension)
    contexts = rng.normal(size=(300, dimension))
    contexts[:, :2] = 2e5 * (1.0 + 0.01 * contexts[:, :2])
    sums = LinearSums.of(prior).plus(contexts, rng.integers(0, 10**6, 300), np.zeros(300))
    model = sums.model(prior, 0.0)
    print((sums.to_bytes() + model.mean.tobytes() + model.covariance.tobytes()).hex())
"""


def test_other_processors_and_numbers_of_threads_give_the_same_bytes() -> None:
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


@pytest.mark.parametrize(
    ("contexts", "rewards", "message"),
    [
        (np.zeros((1, 3)), [0], r"contexts must have the shape \(N, 2\), got \(1, 3\)"),
        (np.zeros(2), [0, 0], r"contexts must have the shape \(N, 2\), got \(2,\)"),
        (np.array([[1.0, np.nan]]), [0], "contexts must consist of finite numbers within"),
        (np.array([[1.0, -1.1e6]]), [0], "contexts must consist of finite numbers within"),
        (np.zeros((1, 2)), [2 * 10**12], "rewards must lie within"),
    ],
)
def test_observations_out_of_range_are_refused(contexts: Array, rewards: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearSums.of(LinearPrior(2)).plus(contexts, np.array(rewards), np.zeros(len(rewards)))


@pytest.mark.parametrize("half_life", [None, 10.0])
def test_the_largest_numbers_allowed_are_summed(half_life: float | None) -> None:
    prior = LinearPrior(2, half_life=half_life)
    sums = LinearSums.of(prior).plus(np.full((50, 2), 1e6), np.full(50, MICRO), np.linspace(0.0, 9.9, 50))
    assert np.isfinite(sums.model(prior, 0.0).covariance).all()


@pytest.mark.parametrize("state", [b"", b"LSM1", b"LSM2" + bytes(60)])
def test_bytes_of_something_else_are_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="not the state of linear sums"):
        LinearSums.from_bytes(state)


@pytest.mark.parametrize("cut", [1, 8, 60])
def test_a_state_that_was_cut_off_is_refused(cut: int) -> None:
    contexts, rewards, times = observations(3, 2, 8)
    state = LinearSums.of(LinearPrior(2)).plus(contexts, rewards, times).to_bytes()
    with pytest.raises(ValueError, match=r"cut off|another size|buffer size"):
        LinearSums.from_bytes(state[:-cut])
