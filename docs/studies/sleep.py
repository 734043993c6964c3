"""A simulated population of people who want to sleep better, and how each of three interventions helps them.

The example that contextual decisions are shown and measured on. Nothing in it is clinical: who gains from what is
invented, so that the best intervention differs between people and no single one is good for all.

A participant is a context of five numbers, scaled as an application would send them: sex (1: female), age / 100,
weight / 150 (kg), activity (0 to 1) and bedtime / 24 (hours). The reward of a night is the relative improvement of a
sleep score, in [0, 1]: Beta distributed around a mean that is linear in the context.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit_core.contextual import LinearThompson, LinUCB
from studies.linear_simulation import play, share_of_advantage

type Array = NDArray[np.float64]

FEATURES: Final = ("sex", "age", "weight", "activity", "bedtime")
INTERVENTIONS: Final = ("decrease_temperature", "decrease_light", "decrease_noise")

TYPICAL: Final = np.array([0.5, 0.45, 0.5, 0.5, 0.94])
"""The context that effects are counted from, in the order of FEATURES."""

BASE: Final = np.array([0.32, 0.32, 0.31])
"""The mean reward of each intervention in the typical context, in the order of INTERVENTIONS."""

EFFECTS: Final = np.array(
    [
        [-0.10, 0.00, 0.45, 0.25, 0.00],
        [0.00, -0.45, 0.00, 0.00, 1.20],
        [0.10, 0.45, 0.00, -0.20, 0.00],
    ]
)
"""By how much each intervention's mean rises with each feature: a cool room helps heavy and active men most, a dark one
the young who go to bed late, a quiet one older women who move little."""

CONCENTRATION: Final = 10.0
"""α + β of a night's reward: at a mean of 0.3 its standard deviation is 0.14."""


@dataclass(frozen=True, slots=True, eq=False)
class Nights:
    """Participants in the order they come, and what every intervention would do for them.

    `contexts` (N, 5), `means` (N, 3) of the rewards, and `rewards` (N, 3), of which a decision gets to see one.
    """

    contexts: Array
    means: Array
    rewards: Array


def draw_nights(count: int, generator: np.random.Generator) -> Nights:
    """Draw `count` independent participants, each for one night."""
    contexts = np.column_stack(
        [
            generator.integers(2, size=count),
            generator.uniform(18.0, 80.0, count) / 100.0,
            np.clip(generator.normal(75.0, 15.0, count), 45.0, 130.0) / 150.0,
            generator.random(count),
            np.clip(generator.normal(22.5, 1.0, count), 20.0, 24.0) / 24.0,
        ]
    )
    means = mean_rewards(contexts)
    return Nights(contexts, means, generator.beta(CONCENTRATION * means, CONCENTRATION * (1.0 - means)))


def mean_rewards(contexts: Array) -> Array:
    """Return the mean reward (N, 3) of every intervention in contexts (N, 5)."""
    means: Array = BASE + (contexts - TYPICAL) @ EFFECTS.T
    return means


def measured_shares(
    policy: LinUCB | LinearThompson, decisions: Sequence[int], generators: Sequence[np.random.Generator]
) -> Array:
    """Return which share of the oracle's advantage (S, len(decisions)) was earned by those numbers of decisions.

    One run per generator, which draws its participants; the policy draws from a child of the first. Generators made
    from the same seeds let every policy meet the same participants.
    """
    runs = [draw_nights(max(decisions), generator) for generator in generators]
    contexts, means = np.array([run.contexts for run in runs]), np.array([run.means for run in runs])
    x = np.concatenate([contexts, np.ones((*contexts.shape[:2], 1))], axis=2)
    chosen = play(policy, x, np.array([run.rewards for run in runs]), generators[0].spawn(1)[0]).chosen
    return np.column_stack([share_of_advantage(means[:, :end], chosen[:, :end]) for end in decisions])
