"""The sleep population: rewards that can be, nobody's best for all, and contexts that pay."""

from itertools import product

import numpy as np
import pytest

from bandit_core.contextual import LinearThompson, LinUCB
from bandit_core.features import FeatureMap
from studies.sleep import CONCENTRATION, FEATURES, INTERVENTIONS, draw_nights, mean_rewards, measured_shares


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def test_contexts_are_as_an_application_sends_them() -> None:
    nights = draw_nights(5_000, np.random.default_rng(1))
    assert nights.contexts.shape == (5_000, len(FEATURES))
    low, high = nights.contexts.min(axis=0), nights.contexts.max(axis=0)
    assert (low >= [0.0, 0.18, 45 / 150, 0.0, 20 / 24]).all()
    assert (high <= [1.0, 0.80, 130 / 150, 1.0, 1.0]).all()
    assert FeatureMap(FEATURES).vector(dict(zip(FEATURES, nights.contexts[0].tolist(), strict=True))).shape == (6,)


def test_every_participant_there_can_be_has_means_between_0_and_1() -> None:
    corners = np.array(list(product([0.0, 1.0], [0.18, 0.8], [0.3, 130 / 150], [0.0, 1.0], [20 / 24, 1.0])))
    assert ((mean_rewards(corners) > 0.0) & (mean_rewards(corners) < 1.0)).all()


def test_rewards_lie_between_0_and_1_around_their_means() -> None:
    nights = draw_nights(100_000, np.random.default_rng(2))
    assert nights.rewards.shape == nights.means.shape == (100_000, len(INTERVENTIONS))
    assert ((nights.rewards >= 0.0) & (nights.rewards <= 1.0)).all()
    variance = nights.means * (1.0 - nights.means) / (CONCENTRATION + 1.0)
    off = (nights.rewards - nights.means).mean(axis=0) / np.sqrt(variance.mean(axis=0) / 100_000)
    assert (np.abs(off) < 4.0).all()


def test_every_intervention_is_best_for_a_quarter_of_the_people_and_none_for_half() -> None:
    means = draw_nights(20_000, np.random.default_rng(3)).means
    shares = np.bincount(means.argmax(axis=1), minlength=3) / 20_000
    assert shares.min() > 0.25
    assert shares.max() < 0.5


@pytest.mark.parametrize("policy", [LinUCB(alpha=0.3), LinearThompson(alpha=0.3)], ids=lambda policy: policy.name)
def test_contexts_earn_most_of_the_oracles_advantage(policy: LinUCB | LinearThompson) -> None:
    """A small version of the sweep: 5 runs, and more of it the longer they are."""
    shares = measured_shares(policy, [300, 3_000], generators(5)).mean(axis=0)
    assert shares[0] < shares[1]
    assert shares[1] > 0.8


def test_the_same_seeds_give_the_same_shares() -> None:
    first, second = (measured_shares(LinearThompson(alpha=0.3), [100, 200], generators(2)) for _ in range(2))
    assert first.shape == (2, 2)
    assert np.array_equal(first, second)
