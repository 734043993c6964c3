"""Every registered policy is replayed, and says what its result rests on."""

import numpy as np
import polars as pl
import pytest

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.policies import policy_names
from bandit_pipeline.replay.policies import POINTS, curves, registered, replay_all, summary


@pytest.fixture(scope="module")
def log() -> LoggedDecisions:
    rng = np.random.default_rng(0)
    arms = rng.integers(0, 4, 4_000)
    rewards = (rng.random(4_000) < np.array([0.1, 0.2, 0.3, 0.6])[arms]).astype(np.float64)
    return LoggedDecisions(arms=arms, rewards=rewards, propensities=np.full(4_000, 0.25), n_arms=4)


def test_every_registered_policy_is_there(log: LoggedDecisions) -> None:
    assert tuple(registered(log)) == policy_names()


def test_learning_policies_earn_more_than_uniform_choice(log: LoggedDecisions) -> None:
    found = summary(replay_all(log, every=10, seed=0))
    earned = dict(found.select("policy", "mean_reward").iter_rows())
    assert earned["thompson"] > 1.3 * earned["uniform"]
    matched = found.filter(pl.col("policy") == "uniform")["matches"].item()
    assert matched == pytest.approx(1_000, rel=0.1)


def test_curves_end_at_the_last_match(log: LoggedDecisions) -> None:
    replays = replay_all(log, every=10, seed=0)
    thompson = curves(replays).filter(pl.col("policy") == "thompson")
    assert len(thompson) <= POINTS
    assert thompson["matches"].last() == replays["thompson"].matches
    assert thompson["reward"].last() == replays["thompson"].clicks
