"""Adaptive logs are what the policy would have logged."""

import numpy as np

from bandit_core.policies.thompson import Thompson
from bandit_core.simulation import BernoulliEnvironment, Published
from studies.adaptive_simulation import AdaptiveLogs, adaptive_logs

MEANS = [0.1, 0.3, 0.6]


def play(*, decisions: int, runs: int, seed: int) -> AdaptiveLogs:
    strategy = Published(Thompson(), every=50, min_weight=0.05)
    environment = BernoulliEnvironment(np.array(MEANS))
    return adaptive_logs(environment, strategy, decisions=decisions, runs=runs, rng=np.random.default_rng(seed))


def test_weights_are_those_of_the_rewards_before_them() -> None:
    logs = play(decisions=130, runs=3, seed=0)
    assert logs.weights.shape == (3, 3, 3)
    for run in range(3):
        log = logs.log(run)
        for look in range(3):
            before = slice(0, look * 50)
            wins = np.bincount(log.arms[before], weights=log.rewards[before], minlength=3)
            plays = np.bincount(log.arms[before], minlength=3)
            np.testing.assert_array_equal(logs.alpha[run, look], 1.0 + wins)
            np.testing.assert_array_equal(logs.beta[run, look], 1.0 + plays - wins)
        np.testing.assert_array_equal(logs.logging(run)[np.arange(130), log.arms], log.propensities)
        np.testing.assert_array_equal(logs.of_chosen(logs.weights)[run], log.propensities)
    assert log.adaptive


def test_arms_are_drawn_with_their_weights_and_rewarded_with_their_means() -> None:
    """Means over 400 runs; five standard errors are no chance."""
    logs = play(decisions=100, runs=400, seed=1)
    for arm, mean in enumerate(MEANS):
        played = logs.arms[:, 50:] == arm
        surprise = (played - logs.weights[:, [1], arm]).mean(axis=1)
        assert abs(surprise.mean()) < 5 * surprise.std() / np.sqrt(400)
        rewards = logs.rewards[logs.arms == arm]
        assert abs(rewards.mean() - mean) < 5 * np.sqrt(mean * (1 - mean) / len(rewards))
