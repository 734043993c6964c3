"""The compiled replay against a plain one row by row, and against the policy run directly."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.policy_replay import Replay, replay
from bandit_core.policies import make_policy
from bandit_core.policies.base import Beliefs, Policy
from bandit_core.simulation import BernoulliEnvironment, Published, arm_ids
from studies.regret import simulate

MEANS = np.array([0.1, 0.2, 0.5])
THOMPSON = make_policy("thompson")


def uniform_log(rows: int, seed: int, means: np.ndarray = MEANS) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    arms = rng.integers(0, len(means), rows)
    rewards = (rng.random(rows) < means[arms]).astype(np.float64)
    return LoggedDecisions(arms, rewards, np.full(rows, 1 / len(means)), len(means))


def skewed_log(rows: int, seed: int, *, n_positions: int = 1) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    shares = np.array([0.6, 0.3, 0.1])
    arms = rng.choice(3, rows, p=shares)
    positions = rng.integers(0, n_positions, rows)
    rewards = (rng.random(rows) < MEANS[arms]).astype(np.float64)
    return LoggedDecisions(arms, rewards, shares[arms], 3, positions=positions, n_positions=n_positions)


def one_row(reward: float = 1.0, propensity: float = 0.5, n_arms: int = 2) -> LoggedDecisions:
    return LoggedDecisions(np.array([0]), np.array([reward]), np.array([propensity]), n_arms)


def plain_replay(policy: Policy, log: LoggedDecisions, uniforms: np.ndarray, every: int) -> list[tuple[int, float]]:
    """Rows kept and the policy's probability of their arms, one row at a time."""
    lowest = log.propensities.min()
    counts = {position: np.ones((2, log.n_arms)) for position in range(log.n_positions)}
    weights = {position: policy.propose(Beliefs(arm_ids(log.n_arms), *counts[position])).weights for position in counts}
    matches = dict.fromkeys(counts, 0)
    kept = []
    for row in range(len(log)):
        position = 0 if log.positions is None else int(log.positions[row])
        arm, reward = int(log.arms[row]), log.rewards[row]
        if uniforms[row] >= weights[position][arm] * lowest / log.propensities[row]:
            continue
        kept.append((row, float(weights[position][arm])))
        counts[position][:, arm] += reward, 1 - reward
        matches[position] += 1
        if matches[position] % every == 0:
            weights[position] = policy.propose(Beliefs(arm_ids(log.n_arms), *counts[position])).weights
    return kept


@pytest.mark.parametrize("name", ["thompson", "epsilon_greedy"])
@pytest.mark.parametrize("every", [1, 7])
def test_the_compiled_loop_keeps_the_rows_that_a_plain_loop_keeps(name: str, every: int) -> None:
    log = skewed_log(3_000, seed=1, n_positions=2)
    policy = make_policy(name, {"epsilon": 0.2} if name == "epsilon_greedy" else {})
    fast = replay(policy, log, rng=np.random.default_rng(2), every=every)
    plain = plain_replay(policy, log, np.random.default_rng(2).random(len(log)), every)
    assert fast.rows.tolist() == [row for row, _ in plain]
    assert fast.propensities.tolist() == [weight for _, weight in plain]
    assert log.positions is not None
    for kept, logged in [(fast.arms, log.arms), (fast.rewards, log.rewards), (fast.positions, log.positions)]:
        np.testing.assert_array_equal(kept, logged[fast.rows])


def test_chunks_give_what_the_whole_log_gives() -> None:
    log = uniform_log(5_000, seed=3)
    whole = replay(THOMPSON, log, rng=np.random.default_rng(4))
    parts = (log.rows(slice(start, start + 700)) for start in range(0, 5_000, 700))
    chunked = replay(THOMPSON, parts, rng=np.random.default_rng(4))
    assert chunked.rows.tolist() == whole.rows.tolist()
    assert chunked.log_rows == whole.log_rows == 5_000
    np.testing.assert_allclose(chunked.arm_means, whole.arm_means, rtol=1e-12)


@pytest.mark.parametrize(("log", "rows"), [(uniform_log, 900), (skewed_log, 3_000)])
def test_a_replay_has_the_regret_of_the_policy_run_directly(log: Callable[..., LoggedDecisions], rows: int) -> None:
    """Both as means over runs; a difference of five standard errors would be no chance."""
    matches, runs = 200, 40
    regrets = []
    for seed in range(runs):
        played = replay(THOMPSON, log(rows, seed), rng=np.random.default_rng(1_000 + seed), every=10)
        regrets.append(played.regret_curve(MEANS)[matches - 1])
    direct = simulate(
        BernoulliEnvironment(MEANS),
        Published(THOMPSON, 10),
        decisions=matches,
        runs=4_000,
        rng=np.random.default_rng(5),
    )
    mean, std_error = direct.at(matches)
    replayed_error = np.std(regrets, ddof=1) / math.sqrt(runs)
    assert abs(np.mean(regrets) - mean) < 5 * math.hypot(std_error, replayed_error)


def test_curves_add_up_what_was_matched() -> None:
    played = Replay(
        policy="thompson",
        log_rows=9,
        rows=np.array([0, 4, 7]),
        arms=np.array([1, 0, 2]),
        rewards=np.array([0.0, 1.0, 0.0]),
        propensities=np.array([0.3, 0.4, 0.5]),
        positions=np.array([0, 1, 0]),
        arm_means=np.array([[0.5, 0.25, np.nan], [0.25, 1.0, 0.0]]),
    )
    assert played.reward_curve.tolist() == [0.0, 1.0, 1.0]
    assert played.regret_curve([0.5, 0.25, 0.0]).tolist() == [0.25, 0.25, 0.75]
    np.testing.assert_array_equal(played.regret_curve(), [0.25, 1.0, np.nan])


def test_means_of_arms_come_from_the_whole_log() -> None:
    log = uniform_log(2_000, seed=6)
    played = replay(THOMPSON, log, rng=np.random.default_rng(7))
    np.testing.assert_allclose(played.arm_means[0], [log.rewards[log.arms == arm].mean() for arm in range(3)])


def test_it_prints_matches_and_clicks() -> None:
    played = replay(THOMPSON, uniform_log(2_000, seed=8), rng=np.random.default_rng(9))
    assert f"matches={played.matches:,}, clicks={int(played.rewards.sum())}" in repr(played)
    assert "log_rows=2,000" in repr(played)


def test_a_log_of_which_nothing_matches_has_no_mean_reward() -> None:
    log = one_row()
    played = replay(make_policy("fixed", {"weights": {"1": 1.0}}), log, rng=np.random.default_rng(0))
    assert (played.matches, played.clicks) == (0, 0)
    assert math.isnan(played.mean_reward)


def test_chunks_of_an_uneven_log_need_the_smallest_propensity() -> None:
    rng, uneven = np.random.default_rng(0), [one_row(), one_row(propensity=0.25)]
    with pytest.raises(ValueError, match="give min_propensity"):
        replay(THOMPSON, [skewed_log(100, seed=0)], rng=rng)
    with pytest.raises(ValueError, match=r"a propensity of 0\.25 lies below min_propensity 0\.5"):
        replay(THOMPSON, uneven, rng=rng)
    assert replay(THOMPSON, uneven, rng=rng, min_propensity=0.25).log_rows == 2


def test_what_cannot_be_replayed_is_refused() -> None:
    rng, log = np.random.default_rng(0), uniform_log(10, seed=0)
    with pytest.raises(ValueError, match="got no chunk"):
        replay(THOMPSON, [], rng=rng)
    with pytest.raises(ValueError, match=r"rewards in \[0, 1\]"):
        replay(THOMPSON, one_row(reward=2.0), rng=rng)
    with pytest.raises(ValueError, match="all chunks must have 3 arms and 1 positions, got 2 and 1"):
        replay(THOMPSON, [log, one_row()], rng=rng)
    with pytest.raises(ValueError, match="every must be a whole number"):
        replay(THOMPSON, log, rng=rng, every=0)
    with pytest.raises(ValueError, match="prior beta must be"):
        replay(THOMPSON, log, rng=rng, prior=(1.0, 0.0))
