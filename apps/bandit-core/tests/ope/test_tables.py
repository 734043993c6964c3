from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.tables import ArmTable, arm_table

PLAIN = LoggedDecisions(np.array([0, 1, 2, 0]), np.zeros(4), np.full(4, 0.5), n_arms=3)
PLACED = LoggedDecisions(
    np.array([0, 1, 2, 0]), np.zeros(4), np.full(4, 0.5), n_arms=3, positions=np.array([0, 1, 1, 0]), n_positions=2
)


def test_one_vector_holds_for_every_position() -> None:
    table = arm_table("target", [0.2, 0.3, 0.5], PLACED)
    assert not table.by_round
    assert table.values.tolist() == [[0.2, 0.3, 0.5]] * 2


def test_a_table_by_position_is_the_same_in_every_round() -> None:
    table = arm_table("target", np.eye(2, 3), PLACED)
    assert not table.by_round
    assert table.rounds(slice(1, 3)) is table


def test_a_table_by_round_can_be_cut_to_some_rounds() -> None:
    table = arm_table("q_hat", np.arange(12.0).reshape(4, 3), PLAIN)
    assert table.by_round
    assert table.rounds(slice(1, 3)).values.tolist() == [[3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize("values", [np.zeros(4), np.zeros((3, 4)), np.zeros((2, 3)), np.zeros((4, 3, 1))])
def test_another_shape_is_refused_with_those_that_fit(values: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"target must have shape \(3,\) or \(4, 3\), arms last, got"):
        arm_table("target", values, PLAIN)


def test_with_positions_the_shape_by_position_is_named_too() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) or \(2, 3\) or \(4, 3\)"):
        arm_table("target", np.zeros((3, 2)), PLACED)


def test_a_shape_that_could_mean_two_things_is_refused_until_it_is_said_which() -> None:
    short = PLACED.rows(slice(0, 2))
    with pytest.raises(ValueError, match="could be by round or by position"):
        arm_table("target", np.eye(2, 3), short)
    assert arm_table("target", ArmTable(np.eye(2, 3), by_round=True), short).by_round
    with pytest.raises(ValueError, match=r"target must have shape \(2, 3\)"):
        arm_table("target", ArmTable(np.eye(4, 3), by_round=True), short)


def test_a_mapping_names_the_arms_in_any_order() -> None:
    named = replace(PLACED, arm_names=("blue", "green", "red"))
    assert arm_table("target", {"red": 0.5, "blue": 0.2, "green": 0.3}, named).values.tolist() == [[0.2, 0.3, 0.5]] * 2
    with pytest.raises(ValueError, match="target must name every arm of the log and no other; 'green' is not in both"):
        arm_table("target", {"red": 0.5, "blue": 0.5}, named)
    with pytest.raises(ValueError, match="target names arms, but the log numbers them"):
        arm_table("target", {"red": 1.0}, PLAIN)


def test_what_holds_no_numbers_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="target must be an array of numbers: could not convert string"):
        arm_table("target", ["a", "b", "c"], PLAIN)
