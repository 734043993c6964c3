"""A fixed split: the shares set by hand, for whatever arms are there."""

import numpy as np
import pytest

from bandit_core.policies.base import Beliefs
from bandit_core.policies.fixed import Fixed


def beliefs_of(*arms: str) -> Beliefs:
    return Beliefs(arms, np.arange(1.0, len(arms) + 1.0), np.ones(len(arms)))


def test_arms_get_their_shares_in_any_order_and_unit() -> None:
    assert Fixed({"a": 90.0, "b": 10.0}).propose(beliefs_of("b", "a")).weights.tolist() == [0.1, 0.9]


def test_an_arm_that_is_not_listed_gets_nothing() -> None:
    assert Fixed({"a": 0.5, "b": 0.5}).propose(beliefs_of("a", "b", "c")).weights.tolist() == [0.5, 0.5, 0.0]


def test_listed_arms_that_are_not_there_leave_their_proportions_to_the_others() -> None:
    assert Fixed({"a": 0.5, "b": 0.3, "c": 0.1}).propose(beliefs_of("b", "c")).weights.tolist() == pytest.approx(
        [0.75, 0.25]
    )


def test_where_no_listed_arm_is_there_all_share_equally() -> None:
    assert Fixed({"a": 1.0}).propose(beliefs_of("b", "c")).weights.tolist() == [0.5, 0.5]


def test_the_shares_cannot_be_changed_from_outside() -> None:
    shares = {"a": 1.0, "b": 1.0}
    policy = Fixed(shares)
    shares["b"] = 9.0
    assert policy.propose(beliefs_of("a", "b")).weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": -1.0, "b": 2.0}, r"fixed: weights\['a'\] must be"),
        ({"a": float("nan")}, r"fixed: weights\['a'\] must be"),
        ({"a": 0.0}, "at least one arm a share above 0"),
        ({}, "at least one arm a share above 0"),
        ([0.5, 0.5], "must map arm ids to shares"),
    ],
)
def test_shares_that_make_no_sense_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fixed(weights)
