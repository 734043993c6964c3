"""One update: who is in play, what holds the weights, and the limits of every arm with their origin."""

import pytest

from bandit_core.guardrails import Guardrails
from bandit_core.update import ArmState, Update


def arm(name: str, trials: int = 1000) -> ArmState:
    return ArmState(name, 1.0, 1.0, trials)


BEFORE = {"a": 0.2, "b": 0.8}


def test_limits_carry_the_guardrail_they_come_from() -> None:
    limits = Update([arm("a"), arm("b")], Guardrails(max_step=0.15, min_weight=0.1), BEFORE, None).limits()
    assert limits.lower.tolist() == pytest.approx([0.1, 0.65])
    assert limits.upper.tolist() == pytest.approx([0.35, 0.95])
    assert limits.lower_by == ("min_weight", "max_step")
    assert limits.upper_by == ("max_step", "max_step")


def test_limits_nobody_set_have_no_origin() -> None:
    limits = Update([arm("a"), arm("b")], Guardrails(), BEFORE, None).limits()
    assert (limits.lower.tolist(), limits.upper.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert limits.lower_by == limits.upper_by == (None, None)


def test_a_hold_leaves_every_arm_one_point() -> None:
    limits = Update([arm("a", 3), arm("b")], Guardrails(min_trials=10), BEFORE, None).limits()
    assert limits.lower.tolist() == limits.upper.tolist() == [0.2, 0.8]
    assert limits.lower_by == limits.upper_by == ("min_trials", "min_trials")


def test_arms_that_join_or_wait_are_not_in_play() -> None:
    arms = [arm("a"), arm("b"), arm("waits", 3), arm("joins", 0)]
    update = Update(arms, Guardrails(min_trials=10, min_weight=0.1), {"a": 0.2, "b": 0.7, "waits": 0.1}, None)
    assert update.in_play.tolist() == [True, True, False, False]
    assert (update.joined, update.waiting) == (("joins",), ("waits",))


def test_everybody_is_in_play_at_first() -> None:
    update = Update([arm("a", 0), arm("b", 0)], Guardrails(min_trials=10, min_weight=0.1), {}, None)
    assert update.in_play.all()


def test_where_only_newcomers_are_left_they_hold_each_other() -> None:
    """Weight moves between arms that have data; it would otherwise follow the noise of two new arms."""
    guardrails = Guardrails(min_trials=10, min_weight=0.1)
    update = Update([arm("a", 3), arm("b", 5)], guardrails, {"a": 0.1, "b": 0.1, "gone": 0.8}, None)
    (hold,) = update.holds
    assert (hold.arms, hold.observed) == (("a", "b"), 3.0)
    assert update.limits().lower.tolist() == pytest.approx([0.5, 0.5])


def test_weight_that_nobody_in_play_can_take_alone_is_shared_evenly() -> None:
    update = Update([arm("a"), arm("b")], Guardrails(max_step=0.05), {"a": 0.1, "b": 0.5, "gone": 0.4}, None)
    limits = update.limits()
    assert limits.upper.tolist() == pytest.approx([0.3, 0.7])
    assert limits.relaxation is not None
    assert (limits.relaxation.configured, limits.relaxation.reasons) == (0.05, ("left",))
