"""Where readers look at all positions the best arm is found; where they rarely look at the later ones it is not."""

import numpy as np

from studies.slate_positions import Slates

RATES = np.array([0.20, 0.25, 0.30, 0.15])


def share(*examination: float, epsilon: float = 0.0) -> float:
    slates = Slates(RATES, np.array(examination), epsilon, decisions=4_000)
    return float(slates.best_is_on_top(200, np.random.default_rng(1)).mean())


def test_positions_that_are_all_looked_at() -> None:
    assert share(1.0, 1.0, 1.0) > 0.95


def test_positions_that_are_looked_at_less_often_hide_the_best_arm() -> None:
    assert share(1.0, 0.5, 0.25) < share(1.0, 1.0, 1.0) - 0.1


def test_random_slates_treat_all_arms_alike() -> None:
    assert share(1.0, 0.5, 0.25, epsilon=1.0) > 0.95
