"""A small version of verify/test_ope_coverage.py, and what the simulation itself must get right."""

from math import sqrt

import numpy as np
import pytest

from bandit_core.ope.diagnostics import diagnose
from studies.interval_coverage import Situation, coverage

RUNS = 400


def test_a_simulated_log_is_what_the_situation_says() -> None:
    situation = Situation(rate=0.2, rounds=100_000)
    log = situation.log(np.random.default_rng(0))
    found = diagnose(log, situation.target)
    assert np.bincount(log.arms, weights=log.rewards) / np.bincount(log.arms) == pytest.approx(
        situation.means, abs=0.02
    )
    assert found.effective_rewarded == pytest.approx(situation.rewarded_matches, rel=0.02)
    assert found.largest_weight == pytest.approx(situation.max_weight)


def test_intervals_hold_what_they_promise_with_enough_rewarded_matches() -> None:
    """Within 4 standard errors of 93% to 97%; the full size narrows this down."""
    situation = Situation(rate=0.3, rounds=1_000)
    assert situation.rewarded_matches > 200
    found = coverage(situation, ["normal", "bootstrap", "empirical Bernstein"], runs=RUNS, rng=np.random.default_rng(1))
    slack = 4 * sqrt(0.95 * 0.05 / RUNS)
    for kind in ("normal", "bootstrap"):
        assert 0.95 - slack < found[kind].share < 0.95 + slack
        assert found[kind].warned < RUNS / 20
    assert found["empirical Bernstein"].share > 0.95
    assert found["empirical Bernstein"].mean_width > found["normal"].mean_width


def test_with_rare_rewards_the_normal_interval_covers_too_rarely_and_always_warns() -> None:
    situation = Situation(rate=0.005, rounds=2_000, preference=30.0)
    found = coverage(situation, ["normal", "empirical Bernstein"], runs=RUNS, rng=np.random.default_rng(2))
    assert found["normal"].share < 0.88
    assert found["normal"].warned == RUNS
    assert found["empirical Bernstein"].share > 0.95


def test_an_impossible_situation_is_refused() -> None:
    with pytest.raises(ValueError, match="rate must be a finite number above 0"):
        Situation(rate=0.9)
