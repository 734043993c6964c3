from typing import Any

import numpy as np
import polars as pl
import pytest

from bandit_core.ope.logged import LoggedDecisions

GOOD: dict[str, Any] = {"arms": [0, 2, 1], "rewards": [0, 1, 0], "propensities": [0.5, 0.25, 1.0], "n_arms": 3}


def test_a_log_holds_typed_read_only_arrays() -> None:
    log = LoggedDecisions(**GOOD)
    assert len(log) == 3
    assert [str(array.dtype) for array in (log.arms, log.rewards, log.propensities)] == ["int64", "float64", "float64"]
    with pytest.raises(ValueError, match="read-only"):
        log.rewards[0] = 1.0


def test_the_arrays_it_was_made_from_stay_writable_and_are_not_copied() -> None:
    rewards = np.zeros(3)
    log = LoggedDecisions(**{**GOOD, "rewards": rewards})
    rewards[0] = 1.0
    assert log.rewards[0] == 1.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"arms": [0, 3, 1]}, r"arms must be in \[0, 3\), got 3 in row 1"),
        ({"arms": [-1, 0, 1]}, r"arms must be in \[0, 3\), got -1 in row 0"),
        ({"arms": [0.0, 1.0, 2.0]}, "arms must be whole numbers"),
        ({"arms": []}, "at least one decision"),
        ({"rewards": [0, 1]}, r"rewards must have shape \(3,\), got \(2,\)"),
        ({"rewards": [0, np.nan, 1]}, "rewards must be finite, got nan in row 1"),
        ({"propensities": [0.5, 0.0, 1.0]}, r"propensities must be in \(0, 1\], got 0.0 in row 1"),
        ({"propensities": [0.5, 0.5, 1.5]}, r"propensities must be in \(0, 1\], got 1.5 in row 2"),
        ({"n_arms": 0}, "n_arms must be a whole number"),
        ({"n_positions": 2}, "needs the position of every row"),
        ({"positions": [0, 1, 2], "n_positions": 2}, r"positions must be in \[0, 2\), got 2 in row 2"),
        ({"contexts": [[1.0], [np.inf], [0.0]]}, r"contexts must be finite, got \[inf\] in row 1"),
        ({"contexts": [1.0, 2.0, 3.0]}, r"contexts must have shape \(3, d\)"),
    ],
)
def test_a_wrong_log_is_refused_with_its_first_bad_row(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LoggedDecisions(**{**GOOD, **change})


def test_rows_of_a_log_are_a_log() -> None:
    log = LoggedDecisions(
        **GOOD, positions=np.array([0, 1, 1]), n_positions=2, contexts=np.array([[0.0], [1.0], [2.0]]), adaptive=True
    )
    part = log.rows(np.array([False, True, True]))
    assert part.arms.tolist() == [2, 1]
    assert part.positions is not None
    assert part.contexts is not None
    assert (part.positions.tolist(), part.contexts.tolist()) == ([1, 1], [[1.0], [2.0]])
    assert (part.n_arms, part.n_positions, part.adaptive) == (3, 2, True)


FRAME = pl.DataFrame({"arm": [0, 2], "reward": [0, 1], "propensity": [0.5, 0.25], "position": [1, 0], "age": [30, 40]})


def test_a_frame_is_read_by_its_column_names() -> None:
    log = LoggedDecisions.from_frame(FRAME, contexts=["age"])
    assert (log.arms.tolist(), log.rewards.tolist(), log.propensities.tolist()) == ([0, 2], [0, 1], [0.5, 0.25])
    assert log.positions is not None
    assert log.contexts is not None
    assert (log.positions.tolist(), log.contexts.tolist()) == ([1, 0], [[30], [40]])
    assert (log.n_arms, log.n_positions) == (3, 2)
    assert LoggedDecisions.from_frame(FRAME, n_arms=80, n_positions=3).n_arms == 80


def test_a_frame_without_positions_has_one() -> None:
    log = LoggedDecisions.from_frame(FRAME.drop("position"))
    assert log.positions is None
    assert log.n_positions == 1


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (FRAME.drop("reward"), "no column 'reward'; it has arm, propensity, position, age"),
        (FRAME.with_columns(reward=pl.Series([1, None])), "reward of row 1 is null"),
        (FRAME.clear(), "at least one decision"),
    ],
)
def test_a_wrong_frame_is_refused(frame: pl.DataFrame, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LoggedDecisions.from_frame(frame)
