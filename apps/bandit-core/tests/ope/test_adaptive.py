"""Adaptively weighted arm values: the formulas of the source, the weights' reason, and what they need."""

from collections.abc import Callable

import numpy as np
import pytest

from bandit_core.ope.adaptive import adaptive_arm_values
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.running_means import running_means
from studies.adaptive_simulation import AdaptiveLogs

type PlayThompson = Callable[..., AdaptiveLogs]

MEANS = [0.3, 0.4, 0.6]


def test_values_and_contrasts_are_the_formulas_of_the_source(play_thompson: PlayThompson) -> None:
    logs = play_thompson(MEANS, decisions=400, runs=1, seed=0)
    log, e = logs.log(0), logs.logging(0)
    known = np.maximum(np.arange(400) - 20, 0)
    found = adaptive_arm_values(log, e, floor=0.05, resolved_before=known)
    q = running_means(log, known, start=0.0)
    played = log.arms[:, None] == np.arange(3)
    scores, h = q + played / e * (log.rewards[:, None] - q), np.sqrt(e / 400)
    means = (h * scores).sum(axis=0) / h.sum(axis=0)
    errors = np.sqrt((h**2 * (scores - means) ** 2).sum(axis=0)) / h.sum(axis=0)
    for arm in range(3):
        value = found.value(arm)
        assert value.estimate == pytest.approx(means[arm], rel=1e-12)
        assert value.std_error == pytest.approx(errors[arm], rel=1e-12)
        assert value.interval.width == pytest.approx(2 * 1.959963984540054 * errors[arm], rel=1e-12)
    total, apart = h.sum(axis=0), h * (scores - means)
    contrast_error = np.sqrt(((total[0] * apart[:, 2] - total[2] * apart[:, 0]) ** 2).sum()) / (total[0] * total[2])
    contrast = found.contrast(2, 0)
    assert contrast.estimate == pytest.approx(means[2] - means[0], rel=1e-12)
    assert contrast.std_error == pytest.approx(contrast_error, rel=1e-9)


def two_point_weights(e: np.ndarray, floor: float) -> np.ndarray:
    """The source's two-point allocation of one arm, by its recursion h_t² / e_t = λ_t (1 − Σ_{s<t} h_s² / e_s)."""
    n, n_arms = e.shape
    spent, weights = 0.0, np.empty(n)
    for t in range(n):
        left = n - t
        as_best = (1 - (n_arms - 1) * floor) / (left * (1 - (n_arms - 1) * floor))
        not_best = floor / (left * floor)
        allocation = (1 - spent) * (e[t, 0] * as_best + (1 - e[t, 0]) * not_best)
        weights[t] = np.sqrt(allocation * e[t, 0])
        spent += allocation
    return weights


def test_with_a_constant_floor_two_point_allocation_gives_the_same_weights(play_thompson: PlayThompson) -> None:
    e = play_thompson(MEANS, decisions=300, runs=1, seed=1).logging(0)
    np.testing.assert_allclose(two_point_weights(e, 0.05), np.sqrt(e[:, 0] / 300), rtol=1e-9)


def test_intervals_hold_the_truth(play_thompson: PlayThompson) -> None:
    """Of 200 runs 190 are expected; fewer than 174 would have a probability of 1e-6 at a coverage of 0.95."""
    logs = play_thompson(MEANS, decisions=1_500, runs=200, seed=2)
    held = np.zeros(4)
    for run in range(200):
        found = adaptive_arm_values(logs.log(run), logs.logging(run), floor=0.05)
        held[:3] += [found.value(arm).interval.contains(mean) for arm, mean in enumerate(MEANS)]
        held[3] += found.contrast(2, 0).interval.contains(MEANS[2] - MEANS[0])
    assert (held >= 174).all()


def test_without_a_floor_it_refuses_and_says_why(play_thompson: PlayThompson) -> None:
    logs = play_thompson([0.1, 0.9], decisions=400, runs=1, seed=3, floor=0.0)
    with pytest.raises(ValueError, match=r"below the floor 0\.05: an arm that may be left alone"):
        adaptive_arm_values(logs.log(0), logs.logging(0), floor=0.05)
    with pytest.raises(ValueError, match="floor must be"):
        adaptive_arm_values(logs.log(0), logs.logging(0), floor=0.0)


def test_probabilities_that_contradict_the_log_are_refused(play_thompson: PlayThompson) -> None:
    logs = play_thompson(MEANS, decisions=100, runs=1, seed=4)
    log, e = logs.log(0), logs.logging(0)
    with pytest.raises(ValueError, match="logging gives the arm of row"):
        adaptive_arm_values(log, np.roll(e, 1, axis=1), floor=0.05)
    with pytest.raises(ValueError, match=r"logging must have shape \(100, 3\)"):
        adaptive_arm_values(log, e[:50], floor=0.05)
    placed = LoggedDecisions(log.arms, log.rewards, log.propensities, 3, positions=np.zeros(100, dtype=np.int64))
    with pytest.raises(ValueError, match="a value per position"):
        adaptive_arm_values(placed, e, floor=0.05)
