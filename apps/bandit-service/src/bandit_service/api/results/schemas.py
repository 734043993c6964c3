"""The bodies of POST /experiments/{id}/snapshots and /evaluations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from bandit_service.api.experiments.fields import Body

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class SnapshotRequest(Body):
    """When to take a snapshot."""

    min_events: int = Field(
        default=1,
        ge=0,
        le=2**53,
        description="Decisions and rewards that must have been counted since the last one; 0 takes one in any case",
    )


class ArmSnapshot(BaseModel):
    """The posterior of one arm when the snapshot was taken."""

    arm: str = Field(description="Its id")
    alpha: float | None = Field(description="Of the Beta posterior; null where rewards are gaussian")
    beta: float | None = Field(description="Of the Beta posterior; null where rewards are gaussian")
    mean: float | None = Field(description="Posterior mean of the reward; null where rewards are gaussian")
    decisions: int = Field(ge=0, description="Decisions of the bandit that were shown")
    rewards: int = Field(ge=0, description="Rewards that entered the posterior")
    reward_sum: float = Field(description="Their sum, in the units they were sent in")


class SnapshotReport(BaseModel):
    """The newest snapshot of an experiment."""

    experiment_id: str = Field(description="Whose snapshot it is")
    taken: bool = Field(description="Whether this request took it; false: too little was counted since that one")
    taken_at: datetime | None = Field(description="When it was taken (UTC); null before the first one")
    arms: list[ArmSnapshot] = Field(description="Every arm, in the order of their index; empty before the first one")


class EvaluationResult(Body):
    """What one policy would have earned, by one estimator."""

    behavior_policy: _Name = Field(description="The policy that made the log")
    evaluation_policy: _Name = Field(description="The policy that is evaluated")
    method: _Name = Field(description="The estimator, for example `dr`")
    estimate: float = Field(description="Reward per decision")
    std_error: float | None = Field(default=None, ge=0, description="Standard error of the estimate")
    low: float | None = Field(default=None, description="Lower end of the 95% interval")
    high: float | None = Field(default=None, description="Upper end of the 95% interval")
    n: int = Field(ge=0, le=2**53, description="Logged decisions that were read")
    ess: float = Field(ge=0, description="Effective sample size: decisions of the policy's own that would tell as much")
    coverage: float = Field(ge=0, le=1, description="Share of the policy's choices that the log has ever made")
    on_policy_value: float | None = Field(default=None, description="What it really earned, where that is known")
    on_policy_std_error: float | None = Field(default=None, ge=0, description="Standard error of that")
    relative_error: float | None = Field(default=None, ge=0, description="Of the estimate, where the truth is known")
    warnings: str = Field(default="", max_length=2_000, description="Why the estimate may be wrong")


class EvaluationRequest(Body):
    """An off-policy evaluation, which takes the place of the one before of the same data set."""

    dataset: _Name = Field(description="The log that was evaluated", examples=["obp/women"])
    digest: _Name = Field(description="Digest of that log")
    results: list[EvaluationResult] = Field(
        min_length=1, max_length=1_000, description="One for each pair of policies and each estimator"
    )

    @field_validator("results")
    @classmethod
    def _check_named_once(cls, results: list[EvaluationResult]) -> list[EvaluationResult]:
        names = [(each.behavior_policy, each.evaluation_policy, each.method) for each in results]
        if len(set(names)) < len(names):
            raise ValueError("a policy is evaluated twice by the same method on the same log")
        return results


class EvaluationReport(BaseModel):
    """What was kept."""

    experiment_id: str = Field(description="The id it is kept under")
    dataset: str = Field(description="The log that was evaluated")
    results: int = Field(ge=0, description="How many results were kept")
