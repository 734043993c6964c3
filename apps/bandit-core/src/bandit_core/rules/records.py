"""What is kept about an experiment on request: bodies and answers of /snapshots and /evaluations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from bandit_core.rules.experiment import Value
from bandit_core.rules.names import PLAIN_TEXT
from bandit_core.rules.problems import Invalid

_Name = Annotated[str, Meta(pattern=PLAIN_TEXT.pattern, min_length=1, max_length=200)]
_Size = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=0)]


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


class ArmSnapshot(msgspec.Struct, frozen=True):
    """The posterior of one arm when the snapshot was taken."""

    arm: Annotated[str, Meta(description="Its id")]
    alpha: Annotated[float | None, Meta(description="Of the Beta posterior; null where rewards are gaussian")]
    beta: Annotated[float | None, Meta(description="Of the Beta posterior; null where rewards are gaussian")]
    mean: Annotated[float | None, Meta(description="Posterior mean of the reward; null where rewards are gaussian")]
    decisions: Annotated[_Count, Meta(description="Decisions of the bandit that were shown")]
    rewards: Annotated[_Count, Meta(description="Rewards that entered the posterior")]
    reward_sum: Annotated[float, Meta(description="Their sum, in the units they were sent in")]


class SnapshotReport(msgspec.Struct, frozen=True, kw_only=True):
    """The newest snapshot of an experiment."""

    experiment_id: Annotated[str, Meta(description="Whose snapshot it is")]
    taken: Annotated[
        bool, Meta(description="Whether this request took it; false: too little was counted since that one")
    ]
    taken_at: Annotated[datetime | None, Meta(description="When it was taken (UTC); null before the first one")]
    arms: Annotated[
        tuple[ArmSnapshot, ...], Meta(description="Every arm, in the order of their index; empty before the first one")
    ]


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


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept."""

    experiment_id: Annotated[str, Meta(description="The id it is kept under")]
    dataset: Annotated[str, Meta(description="The log that was evaluated")]
    results: Annotated[_Count, Meta(description="How many results were kept")]


def evaluation_report(experiment_id: str, request: EvaluationRequest) -> EvaluationReport:
    """Return the answer to an evaluation; raise Invalid if it has two results for the same policies and estimator."""
    names = {(each.behavior_policy, each.evaluation_policy, each.method) for each in request.results}
    if len(names) < len(request.results):
        raise Invalid.field("results", "a policy is evaluated twice by the same method on the same log")
    return EvaluationReport(experiment_id=experiment_id, dataset=request.dataset, results=len(request.results))
