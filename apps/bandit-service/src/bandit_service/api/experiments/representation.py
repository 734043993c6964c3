"""How experiments are shown. Salts are no part of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

import msgspec
from pydantic import BaseModel, Field

from bandit_core.rules.experiment import MICRO, ArmDefinition, ArmStatus, Assignment, Experiment, MissingReward, Status
from bandit_service.api.experiments.fields import Parameters


class PriorView(BaseModel):
    """The Beta distribution believed before any data."""

    alpha: float
    beta: float


class ArmView(BaseModel):
    """An arm. Its index stays its own for ever."""

    id: str = Field(examples=["b"])
    index: int = Field(ge=0)
    status: ArmStatus
    prior: PriorView

    @classmethod
    def of(cls, arm: ArmDefinition) -> Self:
        prior = PriorView(alpha=arm.prior_alpha_micro / MICRO, beta=arm.prior_beta_micro / MICRO)
        return cls(id=arm.id, index=arm.index, status=arm.status, prior=prior)


class PolicyView(BaseModel):
    """How beliefs become weights."""

    name: str = Field(examples=["thompson"])
    params: Parameters


class ContextView(BaseModel):
    """The numbers a context consists of."""

    features: list[str] | None
    dimension: int | None
    intercept: bool


class SegmentView(BaseModel):
    """A categorical field of the context that the experiment learns by."""

    field: str
    values: list[str]
    default: str


class RewardsView(BaseModel):
    """How rewards are distributed, and the prior of gaussian ones in units."""

    distribution: Literal["bernoulli", "gaussian"]
    unit: float
    mean: float
    strength: float
    shape: float
    scale: float


class LimitsView(BaseModel):
    """A preset of guardrails, and the limits that replace the preset's."""

    preset: Literal["safe", "neutral", "explore"]
    min_trials: int | None
    max_step: float | None
    min_weight: float | None
    cooldown: float | None


class StoppingView(BaseModel):
    """When the experiment is done."""

    min_decisions: int
    min_decisions_per_arm: int
    prob_best: float | None
    expected_loss: float | None
    prob_better: float | None
    combine: Literal["any", "all"]
    max_duration: float | None
    auto_conclude: bool


class ConclusionView(BaseModel):
    """How an experiment ended, and what was believed of the winner then."""

    at: datetime
    who: str
    why: str
    outcome: Literal["winner", "practically_equal", "better_policy", "undecided"]
    prob_best: float | None
    expected_loss: float | None


class ExperimentView(BaseModel):
    """An experiment at one revision."""

    experiment_id: str = Field(examples=["homepage"])
    namespace: str = Field(examples=["default"])
    description: str
    status: Status
    revision: int = Field(ge=1, examples=[3])
    created_at: datetime
    arms: list[ArmView]
    default_arm: str = Field(examples=["a"])
    control_arm: str | None
    policy: PolicyView
    guardrails: LimitsView
    stopping: StoppingView | None
    reward_window: float = Field(description="Seconds a reward may take", examples=[86_400.0])
    missing_reward: MissingReward
    reward_model: dict[str, Any] | None
    rewards: RewardsView
    context: ContextView | None
    segment_by: list[SegmentView]
    assignment: Assignment
    holdout: float
    update_every: float | None
    metadata: dict[str, Any]
    winner: str | None
    conclusion: ConclusionView | None
    git_fields: list[str] = Field(description="Kept in Git: changed there, and refused here", examples=[["arms"]])

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Return what is shown of an experiment: the fields declared here, and no other."""
        whole = msgspec.to_builtins(experiment)
        arms = [ArmView.of(arm) for arm in experiment.arms]
        return cls.model_validate({**whole, "experiment_id": experiment.id, "arms": arms})


class ExperimentSummary(BaseModel):
    """An experiment in a list."""

    experiment_id: str = Field(examples=["homepage"])
    namespace: str = Field(examples=["default"])
    description: str
    status: Status
    revision: int = Field(ge=1)
    created_at: datetime
    active_arms: int = Field(ge=0)
    winner: str | None

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        counted = {"experiment_id": experiment.id, "active_arms": len(experiment.active_arms)}
        return cls.model_validate({**msgspec.structs.asdict(experiment), **counted})


class ExperimentPage(BaseModel):
    """Some experiments in the order of their ids."""

    items: list[ExperimentSummary]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null at the end")


class ChangeView(BaseModel):
    """One change: who made it, why, what was before and after."""

    revision: int = Field(ge=1)
    changed_at: datetime
    who: str
    why: str
    change: dict[str, Any] = Field(
        examples=[{"action": "pause", "before": {"status": "running"}, "after": {"status": "paused"}}]
    )


class ChangePage(BaseModel):
    """Changes of an experiment, newest first; ask for those before the last one's revision to go on."""

    items: list[ChangeView]
