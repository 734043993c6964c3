"""What the service answers, as frozen values.

Fields this version does not know are ignored, and a status may be one that it does not know.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from bandit_sdk.errors import BanditError

type Status = Literal["running", "paused", "concluded", "archived"]


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The way all answers are: immutable, built by name."""


class Position(_Answer, frozen=True):
    """One position of a slate; `propensity` is the probability of this arm at this position."""

    arm: str
    arm_index: int
    propensity: float


class Selection(_Answer, frozen=True):
    """The arm to serve, in (0, 1] the propensity it was drawn with, and what the reward has to name.

    `is_default`: there was no answer, `arm` is the caller's own default, and `reason` says why. Such a selection has
    neither decision nor propensity. `vector` says what was drawn from: the published weights, or weights computed for
    this request. `slate` is empty unless several arms were asked for; `arm` is then the one at its first position.
    `recorded` is False while both stores of the service are away: the decision counts, and is written down later.
    """

    experiment_id: str
    arm: str
    decision_id: str | None = None
    arm_index: int | None = None
    propensity: float | None = None
    weights_version: int = 0
    stratum: str = "bandit"
    recorded: bool = False
    vector: str = "published"
    segment: str | None = None
    slate: tuple[Position, ...] = ()
    slate_propensity: float | None = None
    is_default: bool = False
    reason: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm to serve, in order: those of the slate, or the one."""
        return tuple(position.arm for position in self.slate) or (self.arm,)


class RewardResult(_Answer, frozen=True):
    """What became of a reward.

    applied: it counts, once the decision is activated if that was deferred. duplicate: it counted before, and does not
    again. queued: the service keeps it, and decides later which of these it is. ignored: the outcome is one that does
    not count. not_sent: it was for a default arm, of which the service knows nothing; `reason` says so.

    Of a queued reward only the status is certain to be there.
    """

    status: str
    experiment_id: str | None = None
    arm: str | None = None
    decision_id: str | None = None
    reward: float | None = None
    reason: str = ""


class Activation(_Answer, frozen=True):
    """What became of an activation: activated, duplicate or not_sent."""

    status: str
    experiment_id: str | None = None
    decision_id: str | None = None
    reason: str = ""


class BatchItem[T](_Answer, frozen=True):
    """What became of one item of a batch: a result or an error, each in the place of its request."""

    result: T | None = None
    error: BanditError | None = None

    def unwrap(self) -> T:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        assert self.result is not None, "an item holds either a result or an error"  # noqa: S101 (an invariant)
        return self.result


class ExperimentArm(_Answer, frozen=True):
    """An arm of an experiment; its index never changes and is never reused."""

    id: str
    index: int
    status: str
    prior: dict[str, Any]


class Experiment(_Answer, frozen=True):
    """An experiment at one revision; the fields are those of POST /experiments."""

    experiment_id: str
    namespace: str
    description: str
    status: str
    revision: int
    created_at: datetime
    arms: tuple[ExperimentArm, ...]
    default_arm: str
    control_arm: str | None
    policy: dict[str, Any]
    guardrails: dict[str, Any]
    stopping: dict[str, Any] | None
    reward_window: float
    missing_reward: str
    reward_model: dict[str, Any] | None
    assignment: str
    holdout: float
    update_every: float | None
    winner: str | None
    conclusion: dict[str, Any] | None
    git_fields: tuple[str, ...] = ()
    context: dict[str, Any] | None = None
    segment_by: tuple[dict[str, Any], ...] = ()
    rewards: dict[str, Any] | None = None
    metadata: dict[str, Any] = {}


class ExperimentSummary(_Answer, frozen=True):
    """An experiment in a list."""

    experiment_id: str
    namespace: str
    description: str
    status: str
    revision: int
    created_at: datetime
    active_arms: int
    winner: str | None


class ExperimentPage(_Answer, frozen=True):
    """Some experiments in the order of their ids; `next_cursor` is None on the last page."""

    items: tuple[ExperimentSummary, ...]
    next_cursor: str | None


class ArmPosterior(_Answer, frozen=True):
    """What is believed of one arm; `interval` holds its mean reward with probability 0.95.

    A retired arm has neither P(best) nor expected loss, and an experiment without Beta posteriors no alpha and beta.
    """

    arm: str
    index: int
    status: str
    mean: float
    interval: tuple[float, float]
    weight: float
    decisions: int
    rewards: int
    reward_sum: float
    alpha: float | None = None
    beta: float | None = None
    prob_best: float | None = None
    expected_loss: float | None = None


class Posterior(_Answer, frozen=True):
    """The beliefs of an experiment at one moment."""

    experiment_id: str
    status: str
    weights_version: int
    leader: str | None
    expected_loss: float | None
    decisions: int
    arms: tuple[ArmPosterior, ...]


class Allocation(_Answer, frozen=True):
    """The published weights by arm, and why they are what they are. Times are seconds since the epoch."""

    experiment_id: str
    weights_version: int
    published_at: float
    changed_at: float
    weights: dict[str, float]
    summary: str
    explanation: dict[str, Any]


class Condition(_Answer, frozen=True):
    """One condition of a stopping rule: `value` is compared with `threshold`."""

    name: str
    value: float
    threshold: float
    holds: bool
    progress: float
    arm: str | None = None


class Conclusion(_Answer, frozen=True):
    """What the stopping rule says now, or what was concluded; `progress` in [0, 1]."""

    experiment_id: str
    status: str
    winner: str | None
    stop: bool
    outcome: str
    arm: str | None
    sentence: str
    progress: float
    conditions: tuple[Condition, ...]


class ArmSnapshot(_Answer, frozen=True):
    """The posterior of one arm at a moment; gaussian rewards have no `alpha`, `beta` and `mean` there."""

    arm: str
    decisions: int
    rewards: int
    reward_sum: float
    alpha: float | None = None
    beta: float | None = None
    mean: float | None = None


class Snapshot(_Answer, frozen=True):
    """The newest snapshot of an experiment; without one `taken_at` is None. `taken`: the request took it."""

    experiment_id: str
    taken: bool
    taken_at: datetime | None
    arms: tuple[ArmSnapshot, ...]


class Evaluation(_Answer, frozen=True):
    """An off-policy evaluation that was kept: how many results of which data set."""

    experiment_id: str
    dataset: str
    results: int


class PlannedShare(_Answer, frozen=True):
    """A share of simulated experiments, with its standard error."""

    share: float
    std_error: float


class PlannedEnd(_Answer, frozen=True):
    """How simulated experiments end: shares of verdicts, days, and rewards lost beside the better arm."""

    right: PlannedShare
    wrong: PlannedShare
    practically_equal: PlannedShare
    undecided: PlannedShare
    median_days: float | None
    slow_days: float | None
    lost: float
    lost_std_error: float
    lost_evenly: float


class Plan(_Answer, frozen=True):
    """What to expect of an experiment if one arm is better by the lift, and if all are equal."""

    better: PlannedEnd
    equal: PlannedEnd
    decisions: int
    runs: int
    summary: str
