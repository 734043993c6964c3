"""What counts as known ends at the oldest decision still unresolved."""

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from bandit_core.ope.decision_order import check_resolved_before, resolved_before


def test_rewards_that_came_at_once_are_all_known() -> None:
    assert resolved_before([0.0, 1.0, 2.0], [0.5, 1.5, 2.5]).tolist() == [0, 1, 2]


def test_one_open_decision_hides_all_later_ones() -> None:
    """The second decision resolves at 9; what came in meanwhile waits for it."""
    decided, resolved = [0.0, 1.0, 2.0, 3.0, 10.0], [0.5, 9.0, 2.5, 3.5, 11.0]
    assert resolved_before(decided, resolved).tolist() == [0, 1, 1, 1, 4]


def test_a_reward_that_never_resolves_hides_the_rest_for_good() -> None:
    assert resolved_before([0.0, 1.0, 2.0], [0.5, math.inf, 2.5]).tolist() == [0, 1, 1]


def test_decisions_made_at_the_same_moment_do_not_know_each_other() -> None:
    assert resolved_before([5.0, 5.0, 5.0], [5.0, 5.0, 5.0]).tolist() == [0, 1, 2]
    assert resolved_before([5.0, 5.0, 6.0], [5.1, 5.1, 7.0]).tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("decided", "resolved", "complaint"),
    [
        ([1.0, 0.0], [2.0, 2.0], "sort the log"),
        ([0.0, 1.0], [0.5, 0.5], "before it is made"),
        ([0.0, math.nan], [0.5, 0.5], "sort the log"),
        ([0.0], [0.5, 0.5], r"got \(1,\) and \(2,\)"),
    ],
)
def test_times_that_cannot_be_are_refused(decided: ArrayLike, resolved: ArrayLike, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        resolved_before(decided, resolved)


@pytest.mark.parametrize("given", [[0, 2, 2], [0, 1, 0], [-1, 0, 0]])
def test_what_is_known_cannot_lie_ahead_nor_be_forgotten(given: list[int]) -> None:
    with pytest.raises(ValueError, match="resolved_before must not decrease"):
        check_resolved_before(given, 3)


def test_without_anything_given_all_earlier_decisions_are_known() -> None:
    assert check_resolved_before(None, 3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="whole numbers of shape"):
        check_resolved_before(np.zeros(3), 3)
