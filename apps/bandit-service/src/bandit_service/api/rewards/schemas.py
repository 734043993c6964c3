"""The bodies of /reward."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bandit_service.api.decisions.schemas import (
    ArmId,
    ContextVector,
    DecisionId,
    ExperimentId,
    NamedContext,
    OwnId,
)

GREATEST = 1e12
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
