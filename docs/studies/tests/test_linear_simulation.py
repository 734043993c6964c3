"""Vectorised runs of linear policies: decisions and models are those of the sequential parts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.contextual import LinearBeliefs, LinearThompson, LinUCB, linear_weights
from bandit_core.linear import LinearArm, LinearPrior
from studies.linear_simulation import play, share_of_advantage

type Array = NDArray[np.float64]

RUNS, ROUNDS, ARMS, DIMENSION = 3, 300, 3, 4


def log(seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(RUNS, ROUNDS, DIMENSION)), rng.random((RUNS, ROUNDS, ARMS))


def weights_met(policy: LinUCB | LinearThompson, x: Array, rewards: Array, chosen: Array) -> tuple[Array, Array]:
    """Replay one run with the sequential models: the vectors (N, K) it met, and the coefficients (K, d) at its end."""
    prior = LinearPrior(DIMENSION, ridge=policy.ridge)
    arms = [LinearArm.of(prior) for _ in range(ARMS)]
    vectors = []
    for now, arm in enumerate(chosen.astype(int).tolist()):
        beliefs = LinearBeliefs.of(dict(zip("abc", arms, strict=True)))
        vectors.append(linear_weights(policy, beliefs, x[now], 0.0))
        arms[arm] = arms[arm].update(prior, x[now], float(rewards[now, arm]), 0.0)
    return np.array(vectors), np.array([arm.mean for arm in arms])


@pytest.mark.parametrize("policy", [LinUCB(alpha=0.5, ridge=2.0), LinearThompson(alpha=0.5, ridge=2.0)])
def test_every_decision_is_one_that_the_vector_allows_and_the_models_are_the_same(
    policy: LinUCB | LinearThompson,
) -> None:
    x, rewards = log(1)
    played = play(policy, x, rewards, np.random.default_rng(2))
    for run in range(RUNS):
        vectors, theta = weights_met(policy, x[run], rewards[run], played.chosen[run])
        assert (vectors[np.arange(ROUNDS), played.chosen[run]] > 0.0).all()
        np.testing.assert_allclose(played.theta[run], theta, atol=1e-10)


def test_linear_thompson_draws_arms_as_often_as_its_vectors_say() -> None:
    """How often an arm came, less the weights it had, is a martingale: within 4 of its standard deviations."""
    x, rewards = log(3)
    policy = LinearThompson(alpha=0.5)
    chosen = play(policy, x, rewards, np.random.default_rng(4)).chosen
    vectors = np.concatenate([weights_met(policy, x[run], rewards[run], chosen[run])[0] for run in range(RUNS)])
    came = np.bincount(chosen.ravel(), minlength=ARMS)
    deviation = np.sqrt((vectors * (1.0 - vectors)).sum(axis=0))
    assert (np.abs(came - vectors.sum(axis=0)) < 4.0 * deviation).all()


def test_linucb_breaks_ties_by_lot() -> None:
    """In the first round nothing is known of any arm."""
    x, rewards = np.ones((900, 1, 2)), np.zeros((900, 1, 3))
    came = np.bincount(play(LinUCB(), x, rewards, np.random.default_rng(5)).chosen[:, 0], minlength=3)
    assert (np.abs(came - 300) < 4.0 * np.sqrt(900 * 2 / 9)).all()


def test_the_oracle_has_the_whole_advantage_and_the_best_fixed_arm_none() -> None:
    means = np.random.default_rng(6).random((RUNS, ROUNDS, ARMS))
    best_fixed = np.repeat(means.sum(axis=1).argmax(axis=1)[:, None], ROUNDS, axis=1)
    assert share_of_advantage(means, means.argmax(axis=2)) == pytest.approx(1.0, abs=1e-12)
    assert share_of_advantage(means, best_fixed) == pytest.approx(0.0, abs=1e-12)
    assert (share_of_advantage(means, means.argmin(axis=2)) < 0.0).all()


@pytest.mark.parametrize(
    ("x", "rewards"), [((2, 5), (2, 5, 3)), ((2, 5, 4), (2, 5)), ((2, 5, 4), (2, 6, 3)), ((1, 5, 4), (2, 5, 3))]
)
def test_shapes_that_do_not_fit_are_refused(x: tuple[int, ...], rewards: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x must be \(S, N, d\) and rewards \(S, N, K\), got"):
        play(LinUCB(), np.zeros(x), np.zeros(rewards), np.random.default_rng(1))


def test_a_half_life_is_refused() -> None:
    with pytest.raises(ValueError, match="rounds have no times: leave out the half-life"):
        play(LinUCB(half_life=3.0), *log(1), np.random.default_rng(1))
