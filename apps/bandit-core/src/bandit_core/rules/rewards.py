"""Rewards: what may be reported, and what it is worth in millionths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bandit_core.rewards import Outcome
from bandit_core.rules.arm_selector import logged_context
from bandit_core.rules.experiment import MICRO, ArmDefinition
from bandit_core.rules.problems import Expired, Invalid
from bandit_core.rules.requests import RewardRequest
from bandit_core.rules.selection import Context
from bandit_core.rules.served_experiment import ServedExperiment

# A reward model's way from an outcome to its reward; None: ignored.
type Judge = Callable[[Outcome], float | None]
# So that sums of squares of millionths stay whole numbers of 64 bits.
MOST_UNITS: Final = 1_000


def check_reward(request: RewardRequest) -> None:
    if (request.reward is None) == (request.outcome is None):
        raise Invalid.field("reward", "give either reward or outcome")
    if request.decision_id is not None:
        if request.reward_id is not None:
            raise Invalid.field("reward_id", "a reward for a decision_id is counted once by that id")
    elif request.experiment_id is None or request.arm is None:
        missing = "experiment_id" if request.experiment_id is None else "arm"
        raise Invalid.field(missing, "needed without a decision_id")


def reward_micro(request: RewardRequest, served: ServedExperiment) -> int | None:
    """Return the reward in millionths, rounded once and for all; None for an outcome that is ignored."""
    if request.outcome is None and served.is_gaussian:
        reward, unit = request.reward or 0.0, served.unit
        if abs(reward) > MOST_UNITS * unit:
            raise Invalid.field("reward", f"must lie within {MOST_UNITS:,} units of {unit:g}")
        return round(reward / unit * MICRO)
    model = served.reward_model
    return judged_micro(request.reward, request.outcome, None if model is None else model.reward)


def judged_micro(reward: object, outcome: Outcome | None, judge: Judge | None) -> int | None:
    """Return a reward in [0, 1] in millionths: the outcome's, if there is one; None for one that is ignored.

    Raises:
        Invalid: it is no such number, or the reward model does not know the outcome.
    """
    if outcome is not None:
        if judge is None:
            raise Invalid.field("outcome", "the experiment has no reward_model: send a reward between 0 and 1")
        try:
            reward = judge(outcome)
        except ValueError as error:
            raise Invalid.field("outcome", str(error)) from None
        if reward is None:
            return None
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not 0.0 <= reward <= 1.0:
        raise Invalid.field("reward", f"must be a number between 0 and 1, but it is {reward!r}")
    return round(reward * MICRO)


def direct_context(request: RewardRequest, served: ServedExperiment) -> tuple[str | None, Context | None]:
    """Return the segment and the context of a direct reward: what its experiment needs to learn from it."""
    context = logged_context(served, request.context)
    if not served.experiment.segment_by:
        return None, context
    number = served.segmentation.number(context if isinstance(context, dict) else {})
    return served.segmentation.names[number], context


def window_over(served: ServedExperiment) -> Expired:
    """Return the refusal of a reward that comes too late."""
    return Expired(f"the reward window of {served.experiment.reward_window:g} s is over; the reward was kept as late")


def known_arm(served: ServedExperiment, arm_id: str) -> ArmDefinition:
    try:
        return served.experiment.arm(arm_id)
    except KeyError:
        raise Invalid.field("arm", f"experiment {served.experiment.id!r} has no arm {arm_id!r}") from None
