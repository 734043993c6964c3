"""Open decisions count as far as successes of their age usually have come."""

import numpy as np
import pytest

from bandit_core.adaptive.pending import FEWEST_SUCCESSES, counted, usual_share


def test_shares_add_up_from_closed_decisions() -> None:
    share = usual_share([[20, 10, 10], [0, 0, FEWEST_SUCCESSES - 1]])
    assert share.tolist() == [[0.5, 0.75, 1.0], [0.0, 0.0, 0.0]]


def test_without_experience_open_decisions_wait() -> None:
    decisions, successes = counted([100.0, 50.0], [3.0, 1.0], [0.0, 0.0])
    assert decisions.tolist() == successes.tolist() == [0.0, 0.0]


def test_the_rate_of_open_decisions_is_unbiased() -> None:
    """Successes come after exponential times; open decisions of all ages; within 4 standard errors."""
    rng, rate, window = np.random.default_rng(0), 0.1, 10
    steps = np.arange(1, window + 1)
    arrived = (1 - np.exp(-steps / 3.0)) / (1 - np.exp(-window / 3.0))
    arrivals = np.diff(arrived, prepend=0.0)
    share = usual_share(rng.multinomial(200_000, arrivals)[None])[0]
    won = rng.binomial(20_000, rate, window)
    decisions, successes = counted(np.full(window, 20_000.0), rng.binomial(won, arrived), share)
    error = np.sqrt(rate / decisions.sum())
    assert successes.sum() / decisions.sum() == pytest.approx(rate, abs=4 * error)
    assert decisions[-1] == 20_000.0
