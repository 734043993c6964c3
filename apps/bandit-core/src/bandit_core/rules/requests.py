"""The bodies of /select, /reward and /activate; msgspec decodes and checks them in one step of about a microsecond."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bandit_core.rules import names
from bandit_core.rules.problems import ProblemDetails
from bandit_core.rules.selection import Stratum, Vector

ExperimentId = Annotated[str, msgspec.Meta(pattern=names.EXPERIMENT_ID.python_pattern)]
DecisionId = Annotated[str, msgspec.Meta(pattern=names.DECISION_ID.python_pattern)]
OwnId = Annotated[str, msgspec.Meta(pattern=names.OWN_ID.python_pattern)]
UnitId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
ArmId = Annotated[str, msgspec.Meta(pattern=names.ARM_ID.python_pattern)]
ArmIds = Annotated[tuple[ArmId, ...], msgspec.Meta(min_length=1, max_length=1_000)]
FeatureName = Annotated[str, msgspec.Meta(pattern=names.FEATURE.python_pattern)]
# As long as a category's name may be; others are no value of any segment.
Category = Annotated[str, msgspec.Meta(max_length=64, pattern=names.PLAIN_TEXT.pattern)]
NamedContext = Annotated[dict[FeatureName, bool | float | Category], msgspec.Meta(max_length=128)]
ContextVector = Annotated[list[bool | float], msgspec.Meta(max_length=128)]


class SelectRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ask which arm to serve; with `k` above 1 an ordered slate of so many.

    `request_id` names the request: a retry under the same name within 10 minutes gets the answer of the first, as long
    as the store keeps it. `decision_id` names the decision for good.
    """

    experiment_id: ExperimentId
    unit_id: UnitId | None = None
    decision_id: OwnId | None = None
    request_id: OwnId | None = None
    defer_activation: bool = False
    context: NamedContext | ContextVector | None = None
    k: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1
    eligible_arms: ArmIds | None = None
    exclude_arms: ArmIds | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for but an arm."""
        return self.context is None and self.k == 1 and self.eligible_arms is None and self.exclude_arms is None


class SlateArm(msgspec.Struct, frozen=True, kw_only=True):
    """An arm at its position of a slate; the propensity is that of the arm being there."""

    arm: str
    arm_index: Annotated[int, msgspec.Meta(ge=0)]
    propensity: Annotated[float, msgspec.Meta(gt=0, le=1)]


class SelectResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The arm to serve. `recorded` is false while the store is away: the decision then waits in this process.

    `vector` says what was drawn from, when it was not the published vector: one for the subset of eligible arms
    (`renormalised` while that is being computed), the segment or the context, or a slate. A slate has all its positions
    in `slate` and the probability of just this one in `slate_propensity`.
    """

    decision_id: str
    experiment_id: str
    arm: str
    arm_index: Annotated[int, msgspec.Meta(ge=0)]
    propensity: Annotated[float, msgspec.Meta(gt=0, le=1)]
    weights_version: Annotated[int, msgspec.Meta(ge=0)]
    stratum: Stratum
    recorded: bool
    vector: Vector = "published"
    segment: str | None = None
    slate: tuple[SlateArm, ...] | None = None
    slate_propensity: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


class ActivateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Say that a deferred decision was shown."""

    decision_id: DecisionId
    experiment_id: ExperimentId | None = None


class ActivateResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an activation."""

    status: Literal["activated", "duplicate"]
    decision_id: str
    experiment_id: str


GREATEST = 1e12
MAX_ITEMS = 1_000
RewardValue = Annotated[float, msgspec.Meta(ge=-GREATEST, le=GREATEST)]
# As long as a reward model may name an outcome.
OutcomeText = Annotated[str, msgspec.Meta(max_length=200)]
NamedOutcome = Annotated[dict[OutcomeText, bool | float | OutcomeText], msgspec.Meta(max_length=10)]

RewardStatus = Literal["applied", "duplicate", "ignored", "queued"]


class RewardRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reward for a decision, or (with `arm`) a direct reward for an arm.

    It lies between 0 and 1, unless the experiment's rewards are gaussian. `position` is the place in a slate, from 0.
    `context` belongs to a direct reward of an experiment that learns by features or segments.
    """

    decision_id: DecisionId | None = None
    experiment_id: ExperimentId | None = None
    arm: ArmId | None = None
    reward_id: OwnId | None = None
    reward: RewardValue | None = None
    outcome: bool | float | OutcomeText | NamedOutcome | None = None
    position: Annotated[int, msgspec.Meta(ge=0, le=19)] = 0
    context: NamedContext | ContextVector | None = None


class RewardResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reward, and the value that counts.

    `duplicate`: an earlier reward of the decision counts, with the value given here. `ignored`: its outcome counts
    neither for nor against the arm. `queued` (status 202): it is written down, and decided once Postgres answers.
    """

    status: RewardStatus
    experiment_id: str
    arm: str
    decision_id: str | None
    reward: float | None

    @property
    def http_status(self) -> int:
        return 202 if self.status == "queued" else 200


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Items of a batch request, each decoded on its own so that one bad item does not spoil the others."""

    items: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class BatchItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item: a result with status 200, or a problem with its own status."""

    status: int
    result: object | None = None
    problem: ProblemDetails | None = None
