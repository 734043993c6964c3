from typing import Any

import numpy as np
import pandas as pd
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
        ({"rewards": ["a", "b", "c"]}, "rewards must be an array of numbers: could not convert"),
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


@pytest.mark.parametrize(
    "same",
    [
        FRAME.lazy(),
        pd.DataFrame(FRAME.to_dict(as_series=False)),
        pd.DataFrame(FRAME.to_dict(as_series=False)).convert_dtypes(),
        pd.DataFrame(FRAME.to_dict(as_series=False)).astype(float),
        FRAME.cast(pl.Float64),
        FRAME.cast(pl.String),
    ],
    ids=["lazy", "pandas", "pandas, nullable", "pandas, floats", "floats", "texts"],
)
def test_the_same_numbers_in_another_frame(same: Any) -> None:
    log, expected = (LoggedDecisions.from_frame(frame, contexts=["age"]) for frame in (same, FRAME))
    for name in ("arms", "rewards", "propensities", "positions", "contexts"):
        np.testing.assert_array_equal(getattr(log, name), getattr(expected, name))
    assert (log.n_arms, log.n_positions, log.arm_names) == (3, 2, None)


NAMED = FRAME.with_columns(arm=pl.Series(["red", "blue"]))


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["red", "blue"])])
def test_arms_may_be_names(dtype: Any) -> None:
    log = LoggedDecisions.from_frame(NAMED.cast({"arm": dtype}))
    assert (log.arms.tolist(), log.arm_names, log.n_arms) == ([1, 0], ("blue", "red"), 2)
    assert log.rows(slice(0, 1)).arm_names == ("blue", "red")
    of_pandas = pd.DataFrame(NAMED.to_dict(as_series=False)).astype({"arm": "category"})
    assert LoggedDecisions.from_frame(of_pandas).arms.tolist() == [1, 0]


def test_named_arms_may_have_an_order_and_arms_that_were_never_played() -> None:
    log = LoggedDecisions.from_frame(NAMED, arm_names=["red", "green", "blue"])
    assert (log.arms.tolist(), log.n_arms) == ([0, 2], 3)
    with pytest.raises(ValueError, match="arm of row 1 is 'blue', which is not among red, green"):
        LoggedDecisions.from_frame(NAMED, arm_names=["red", "green"])
    with pytest.raises(ValueError, match="arm_names must be 2 different names"):
        LoggedDecisions.from_frame(NAMED, arm_names=["red", "blue", "red"], n_arms=2)
    with pytest.raises(ValueError, match="arm holds names such as 'red': give arm_names, the names of all 3 arms"):
        LoggedDecisions.from_frame(NAMED, n_arms=3)


def test_a_frame_without_positions_has_one() -> None:
    log = LoggedDecisions.from_frame(FRAME.drop("position"))
    assert log.positions is None
    assert log.n_positions == 1


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (FRAME.drop("reward"), "no column 'reward'; it has arm, propensity, position, age"),
        (FRAME.with_columns(reward=pl.Series([1, None])), "reward of row 1 is null, as in 1 of 2 rows"),
        (FRAME.with_columns(arm=pl.Series([None, "a"])), "arm of row 0 is null"),
        (FRAME.with_columns(arm=pl.Series(["a", ""])), "arm of row 1 is null"),
        (FRAME.with_columns(propensity=pl.Series([0.5, np.nan])), "propensity of row 1 is null"),
        (pd.DataFrame({"arm": [1, None], "reward": [1, 0], "propensity": [0.5, 0.5]}), "arm of row 1 is null"),
        (FRAME.with_columns(arm=pl.Series([0.5, 1.0])), "arm must be whole numbers, got 0.5 in row 0"),
        (FRAME.with_columns(arm=pl.Series([[0], [1]])), "arm must be one value in each row"),
        (FRAME.with_columns(reward=pl.Series(["won", "lost"])), "reward must be numbers, got 'won' in row 0"),
        ({"arm": [0]}, "a frame of polars or pandas is needed, got dict"),
        (pd.concat([pd.DataFrame({"arm": [0]})] * 2, axis=1), "the frame has 2 columns 'arm'"),
        (FRAME.clear(), "at least one decision"),
    ],
)
def test_a_wrong_frame_is_refused(frame: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LoggedDecisions.from_frame(frame)
