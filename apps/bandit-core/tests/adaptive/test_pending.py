"""Open decisions count as far as successes of their age usually have come."""

import numpy as np
import pytest

from bandit_core.adaptive.pending import FEWEST_SUCCESSES, counted_decisions, usual_share


def test_shares_add_up_from_closed_decisions() -> None:
    assert usual_share([[20, 10, 10], [0, 0, 40]]).tolist() == [[0.5, 0.75, 1.0], [0.0, 0.0, 1.0]]


def test_an_arm_without_experience_takes_the_others() -> None:
    share = usual_share([[30, 30, 40], [0, 0, FEWEST_SUCCESSES - 1]])
    assert share[0].tolist() == [0.3, 0.6, 1.0]
    assert share[1] == pytest.approx([30 / 129, 60 / 129, 1.0])


def test_without_any_experience_open_is_failed() -> None:
    assert (usual_share(np.zeros((2, 4))) == 1.0).all()
    assert (usual_share([[5, 5, 5], [4, 4, 4]]) == 1.0).all()


def test_the_rate_of_open_decisions_is_unbiased() -> None:
    """Successes come after exponential times; open decisions of all ages; within 4 standard errors."""
    rng, rate, window = np.random.default_rng(0), 0.1, 10
    steps = np.arange(1, window + 1)
    arrived = (1 - np.exp(-steps / 3.0)) / (1 - np.exp(-window / 3.0))
    share = usual_share(rng.multinomial(200_000, np.diff(arrived, prepend=0.0))[None])[0]
    decisions = counted_decisions(np.full(window, 20_000.0), share)
    come = rng.binomial(rng.binomial(20_000, rate, window), arrived)
    assert come.sum() / decisions.sum() == pytest.approx(rate, abs=4 * np.sqrt(rate / decisions.sum()))
    assert decisions[-1] == 20_000.0
