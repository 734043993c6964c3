"""The bodies and answers of POST /experiments/{id}/snapshots and /evaluations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta
from pydantic import BaseModel, Field

from bandit_core.rules.experiment import Value
from bandit_core.rules.names import PLAIN_TEXT

_Name = Annotated[str, Meta(pattern=PLAIN_TEXT.pattern, min_length=1, max_length=200)]
_Size = Annotated[float, Meta(ge=0)]


class SnapshotRequest(Value, frozen=True):
    """When to take a snapshot."""

    min_events: Annotated[
        int,
        Meta(
            ge=0,
            le=2**53,
            description="Decisions and rewards that must have been counted since the last one; 0 takes one in any case",
        ),
    ] = 1


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


class EvaluationResult(Value, frozen=True, kw_only=True):
    """What one policy would have earned, by one estimator."""

    behavior_policy: Annotated[_Name, Meta(description="The policy that made the log")]
    evaluation_policy: Annotated[_Name, Meta(description="The policy that is evaluated")]
    method: Annotated[_Name, Meta(description="The estimator, for example `dr`")]
    estimate: Annotated[float, Meta(description="Reward per decision")]
    std_error: Annotated[_Size | None, Meta(description="Standard error of the estimate")] = None
    low: Annotated[float | None, Meta(description="Lower end of the 95% interval")] = None
    high: Annotated[float | None, Meta(description="Upper end of the 95% interval")] = None
    n: Annotated[int, Meta(ge=0, le=2**53, description="Logged decisions that were read")]
    ess: Annotated[
        _Size, Meta(description="Effective sample size: decisions of the policy's own that would tell as much")
    ]
    coverage: Annotated[float, Meta(ge=0, le=1, description="Share of the policy's choices that the log has ever made")]
    on_policy_value: Annotated[float | None, Meta(description="What it really earned, where that is known")] = None
    on_policy_std_error: Annotated[_Size | None, Meta(description="Standard error of that")] = None
    relative_error: Annotated[_Size | None, Meta(description="Of the estimate, where the truth is known")] = None
    warnings: Annotated[
        str, Meta(pattern=PLAIN_TEXT.pattern, max_length=2_000, description="Why the estimate may be wrong")
    ] = ""


class EvaluationRequest(Value, frozen=True):
    """An off-policy evaluation, which takes the place of the one before of the same data set."""

    dataset: Annotated[_Name, Meta(description="The log that was evaluated", examples=["obp/women"])]
    digest: Annotated[_Name, Meta(description="Digest of that log")]
    results: Annotated[
        tuple[EvaluationResult, ...],
        Meta(min_length=1, max_length=1_000, description="One for each pair of policies and each estimator"),
    ]


class EvaluationReport(BaseModel):
    """What was kept."""

    experiment_id: str = Field(description="The id it is kept under")
    dataset: str = Field(description="The log that was evaluated")
    results: int = Field(ge=0, description="How many results were kept")
