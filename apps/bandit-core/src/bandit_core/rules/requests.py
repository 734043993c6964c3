"""The bodies of /select, /reward and /activate; msgspec decodes and checks them in one step of about a microsecond."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from bandit_core.rules import names
from bandit_core.rules.fields import ArmId, ExperimentId, FeatureName
from bandit_core.rules.problems import ProblemDetails
from bandit_core.rules.selection import Stratum, Vector

DecisionId = Annotated[
    str,
    Meta(
        pattern=names.DECISION_ID.python_pattern,
        description="Id of a decision: the one that was answered, or your own; 1 to 800 characters",
    ),
]
OwnId = Annotated[str, Meta(pattern=names.OWN_ID.python_pattern, description="An id of your own, 1 to 128 characters")]
UnitId = Annotated[
    str, Meta(min_length=1, max_length=256, description="Whom it is for, e.g. a visitor; kept as a hash")
]
ArmIds = Annotated[tuple[ArmId, ...], Meta(min_length=1, max_length=1_000, description="Ids of arms, 1 to 1,000")]
# As long as a category's name may be; others are no value of any segment.
Category = Annotated[str, Meta(max_length=64, pattern=names.PLAIN_TEXT.pattern)]
NamedContext = Annotated[
    dict[FeatureName, bool | float | Category],
    Meta(max_length=128, description="Features by name: numbers, or categories of segments; at most 128"),
]
ContextVector = Annotated[
    list[bool | float], Meta(max_length=128, description="Numbers in the order of the declared features; at most 128")
]
Propensity = Annotated[
    float, Meta(gt=0, le=1, description="Probability that the arm was chosen with, above 0, up to 1")
]
ArmIndex = Annotated[int, Meta(ge=0, description="Number of the arm, from 0; it never changes")]
ShownExperiment = Annotated[str, Meta(description="Id of the experiment")]
ShownDecision = Annotated[str, Meta(description="Id of the decision, which its reward names")]


class SelectRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ask which arm to serve; with `k` above 1 an ordered slate of so many."""

    experiment_id: ExperimentId
    unit_id: UnitId | None = None
    decision_id: (
        Annotated[OwnId, Meta(description="Names the decision for good: asked again, it is the same one")] | None
    ) = None
    request_id: (
        Annotated[
            OwnId,
            Meta(description="Names the request: within 10 minutes it gets the first answer, while that is kept"),
        ]
        | None
    ) = None
    defer_activation: Annotated[
        bool, Meta(description="Count the decision only once /activate says that it was shown")
    ] = False
    context: NamedContext | ContextVector | None = None
    k: Annotated[int, Meta(ge=1, le=20, description="How many arms, in order")] = 1
    eligible_arms: Annotated[ArmIds, Meta(description="Choose among these; null: all active arms")] | None = None
    exclude_arms: Annotated[ArmIds, Meta(description="Do not choose these; null: exclude none")] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for but an arm."""
        return self.context is None and self.k == 1 and self.eligible_arms is None and self.exclude_arms is None


class SlateArm(msgspec.Struct, frozen=True, kw_only=True):
    """An arm at its position of a slate."""

    arm: Annotated[str, Meta(description="Id of the arm at this position")]
    arm_index: ArmIndex
    propensity: Annotated[Propensity, Meta(description="Probability of this arm at this position")]


class SelectResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The arm to serve."""

    decision_id: ShownDecision
    experiment_id: ShownExperiment
    arm: Annotated[str, Meta(description="Id of the arm to serve; of a slate, the first")]
    arm_index: ArmIndex
    propensity: Propensity
    weights_version: Annotated[int, Meta(ge=0, description="Version of the weights that were in force")]
    stratum: Annotated[
        Stratum, Meta(description="Part of the traffic: the bandit's, the holdout's, of a pause, after the conclusion")
    ]
    recorded: Annotated[
        bool, Meta(description="False while no store answers: the decision then waits in the process that made it")
    ]
    vector: Annotated[
        Vector,
        Meta(
            description="What was drawn from: the published weights, those of the eligible arms (`renormalised` while "
            "they are being computed), of the segment, of the context, or a slate"
        ),
    ] = "published"
    segment: Annotated[str, Meta(description="Segment that the context falls into")] | None = None
    slate: (
        Annotated[tuple[SlateArm, ...], Meta(description="Every position, if several arms were asked for")] | None
    ) = None
    slate_propensity: Annotated[Propensity, Meta(description="Probability of just this slate")] | None = None


class ActivateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Say that a deferred decision was shown."""

    decision_id: DecisionId
    experiment_id: Annotated[ExperimentId, Meta(description="Needed with a decision id of your own")] | None = None


class ActivateResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an activation."""

    status: Annotated[Literal["activated", "duplicate"], Meta(description="duplicate: it had been activated before")]
    decision_id: ShownDecision
    experiment_id: ShownExperiment


GREATEST = 1e12
MAX_ITEMS = 1_000
# As long as a reward model may name an outcome.
OutcomeText = Annotated[str, Meta(max_length=200)]
NamedOutcome = Annotated[dict[OutcomeText, bool | float | OutcomeText], Meta(max_length=10)]

RewardStatus = Literal["applied", "duplicate", "ignored", "queued"]
# Of what an answer says; 200 for everything else.
HTTP_STATUS: Final = {"queued": 202}


class RewardRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reward for a decision, or (with `arm`) a direct reward for an arm."""

    decision_id: DecisionId | None = None
    experiment_id: (
        Annotated[ExperimentId, Meta(description="Needed with a decision id of your own, and for a direct reward")]
        | None
    ) = None
    arm: (
        Annotated[ArmId, Meta(description="Arm of a direct reward; with a decision, the one that was decided")] | None
    ) = None
    reward_id: Annotated[OwnId, Meta(description="Makes a direct reward count once")] | None = None
    reward: (
        Annotated[
            float,
            Meta(ge=-GREATEST, le=GREATEST, description="Between 0 and 1; any number if the rewards are gaussian"),
        ]
        | None
    ) = None
    outcome: Annotated[
        bool | float | OutcomeText | NamedOutcome | None,
        Meta(description="What happened, for the experiment's reward model, in place of a reward"),
    ] = None
    position: Annotated[int, Meta(ge=0, le=19, description="Position in the slate, from 0")] = 0
    context: NamedContext | ContextVector | None = None


class RewardResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reward, and the value that counts."""

    status: Annotated[
        RewardStatus,
        Meta(
            description="applied: it counts. duplicate: an earlier one counts, with the value given here. ignored: its "
            "outcome counts neither for nor against the arm. queued (status 202): it is written down, and decided once "
            "Postgres answers"
        ),
    ]
    experiment_id: ShownExperiment
    arm: Annotated[str, Meta(description="Id of the arm it is for")]
    decision_id: Annotated[str | None, Meta(description="Id of the decision; null for a direct reward")]
    reward: Annotated[float | None, Meta(description="The value that counts, in the unit of the rewards")]


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Items of a batch request, each decoded on its own so that one bad item does not spoil the others."""

    items: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class BatchItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item: a result with status 200, or a problem with its own status."""

    status: int
    result: object | None = None
    problem: ProblemDetails | None = None
