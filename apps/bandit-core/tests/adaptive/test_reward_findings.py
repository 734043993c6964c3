"""Findings about rewards appear where they should, and nowhere else."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.reward_findings import (
    CLEAR,
    CLEARLY_LATER,
    disagreements,
    failures_come_later,
    only_successes,
    say_disagreements,
)


@pytest.mark.parametrize(
    ("decisions", "rewards", "total", "found"),
    [
        (1_000, 80, 80.0, True),
        (1_000, 80, 79.0, False),
        (100, 80, 80.0, False),
        (1_000, 20, 20.0, False),
    ],
    ids=["only ones", "a zero", "most have a reward", "few"],
)
def test_only_successes(decisions: int, rewards: int, total: float, found: bool) -> None:  # noqa: FBT001
    said = only_successes(decisions, rewards, total)
    assert (said is not None) == found
    if said:
        assert "missing_reward" in said


def test_failures_that_come_at_the_end_are_named() -> None:
    said = failures_come_later([50, 20, 10, 5], [0, 0, 0, 400])
    assert said is not None
    assert "later" in said


@pytest.mark.parametrize("counts", [([50, 20, 10], [500, 210, 95]), ([10, 0, 0], [0, 0, 400])], ids=["alike", "few"])
def test_failures_in_time_are_not(counts: tuple[list[int], list[int]]) -> None:
    assert failures_come_later(*counts) is None


def test_the_statistic_is_that_of_mann_and_whitney() -> None:
    """The smallest lead that is named has the z value of scipy's test with ties."""
    rng = np.random.default_rng(0)
    ages = rng.integers(0, 5, 60), np.minimum(rng.integers(0, 5, 300) + rng.integers(0, 2, 300), 4)
    counts = [np.bincount(each, minlength=5) for each in ages]
    assert (failures_come_later(*counts) is not None) == (_z(*ages) >= CLEAR and _later(*ages) >= CLEARLY_LATER)


def _z(successes: np.ndarray, failures: np.ndarray) -> float:
    p = mannwhitneyu(failures, successes, alternative="greater", use_continuity=False, method="asymptotic").pvalue
    return float(norm.isf(p))


def _later(successes: np.ndarray, failures: np.ndarray) -> float:
    return float(np.mean((failures[:, None] > successes) + 0.5 * (failures[:, None] == successes)))


def test_pooled_and_robust_disagree_where_the_level_moved() -> None:
    total = [[100, 100], [570, 30]]
    sums = PairSums.of_versions([[0.5, 0.5], [0.95, 0.05]], [[2_000, 2_000], [3_800, 200]], total, total)
    [found] = disagreements(sums)
    assert found.pooled > 0.04
    assert found.robust == pytest.approx(0.0, abs=1e-9)
    [said] = say_disagreements(("a", "b"), [found])
    assert "arms a and b" in said


def test_they_agree_where_nothing_moved() -> None:
    rng, found = np.random.default_rng(1), 0
    weights = np.array([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7], [0.98, 0.02]])
    for _ in range(200):
        count = np.array([rng.multinomial(2_000, each) for each in weights])
        won = rng.binomial(count, [0.1, 0.11])
        found += bool(disagreements(PairSums.of_versions(weights, count, won, won)))
    assert found <= 2
    assert say_disagreements(("a", "b"), []) == []
    still = PairSums.of_versions(
        np.full((4, 2), 0.5), np.full((4, 2), 500.0), np.full((4, 2), 50.0), np.full((4, 2), 50.0)
    )
    assert disagreements(still) == []
