"""Decisions: what may be asked, what a decision says of itself, and how it is answered."""

from __future__ import annotations

from typing import Final

import msgspec

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_core.rules.problems import Conflict, Expired, Invalid
from bandit_core.rules.requests import RewardRequest, SelectRequest, SelectResponse, SlateArm
from bandit_core.rules.selection import Selection, SlatePosition, Stratum, Vector
from bandit_core.rules.served_experiment import ServedExperiment

# Names the format of the ids that the service signs.
SIGNED_PREFIX: Final = "d1."


class DecisionClaims(msgspec.Struct, frozen=True, gc=False):
    """What a decision id says: which experiment and arm, how likely it was, when, and in which stratum.

    `segment` is the number of the context's segment. `slate` holds every position, if there are several; the first is
    that of `arm_index` and `propensity`.
    """

    experiment_id: str
    arm_index: int
    propensity: float
    decision_ms: int
    stratum: Stratum = "bandit"
    deferred: bool = False
    weights_version: int = 0
    revision: int = 0
    vector: Vector = "published"
    segment: int | None = None
    slate: tuple[SlatePosition, ...] = ()

    @property
    def places(self) -> tuple[SlatePosition, ...]:
        """Every position: those of the slate, or the one."""
        return self.slate or (SlatePosition(self.arm_index, self.propensity),)

    def at(self, position: int) -> SlatePosition | None:
        """Return a position of the decision; None if it has no such one."""
        places = self.places
        return places[position] if position < len(places) else None


def is_signed(decision_id: str) -> bool:
    """Say whether an id claims to be issued by the service; callers' own ids never begin so."""
    return decision_id.startswith(SIGNED_PREFIX)


def check_not_archived(experiment: Experiment) -> None:
    """Raise Conflict if an experiment takes neither decisions nor direct rewards any more."""
    if experiment.status == "archived":
        raise Conflict(f"experiment {experiment.id!r} is archived")


def check_select(request: SelectRequest, experiment: Experiment) -> None:
    """Raise Conflict or Invalid if a request cannot be answered by this experiment."""
    check_not_archived(experiment)
    if request.unit_id is None and (experiment.assignment == "sticky" or experiment.holdout > 0):
        raise Invalid.field("unit_id", "needed: the experiment assigns units, by sticky assignment or a holdout")
    if request.decision_id is not None and is_signed(request.decision_id):
        raise Invalid.field("decision_id", "ids of your own must not begin like the service's")
    if request.decision_id is not None and request.request_id is not None:
        raise Invalid.field("request_id", "a decision_id of your own makes a retry the same decision already")
    if request.k > 1 and request.decision_id is not None:
        raise Invalid.field("decision_id", "a slate has an id of the service's: leave yours out")
    if request.k > 1 and request.defer_activation:
        raise Invalid.field("defer_activation", "a slate counts from the start: it cannot be deferred")


def claims_of(
    request: SelectRequest, selection: Selection, served: ServedExperiment, decision_ms: int
) -> DecisionClaims:
    """Return what a decision made now says of itself."""
    return DecisionClaims(
        experiment_id=request.experiment_id,
        arm_index=selection.arm.index,
        propensity=selection.propensity,
        decision_ms=decision_ms,
        stratum=selection.stratum,
        deferred=request.defer_activation,
        weights_version=served.weights_version,
        revision=served.experiment.revision,
        vector=selection.vector,
        segment=selection.segment,
        slate=selection.slate,
    )


def select_response(
    decision_id: str,
    claims: DecisionClaims,
    served: ServedExperiment,
    *,
    slate_propensity: float | None = None,
    recorded: bool = True,
) -> SelectResponse:
    """Return the answer to a selection; the same for one that is repeated."""
    arms = served.experiment.arms
    return SelectResponse(
        decision_id=decision_id,
        experiment_id=served.experiment.id,
        arm=arms[claims.arm_index].id,
        arm_index=claims.arm_index,
        propensity=claims.propensity,
        weights_version=claims.weights_version,
        stratum=claims.stratum,
        recorded=recorded,
        vector=claims.vector,
        segment=None if claims.segment is None else served.segmentation.names[claims.segment],
        slate=tuple(SlateArm(arm=arms[arm].id, arm_index=arm, propensity=p) for arm, p in claims.slate) or None,
        slate_propensity=slate_propensity,
    )


def check_same_experiment(claims: DecisionClaims, experiment_id: str | None) -> None:
    """Raise Invalid if a request names another experiment than the decision does."""
    if experiment_id not in (None, claims.experiment_id):
        raise Invalid.field("experiment_id", "the decision belongs to another experiment")


def experiment_of_own(experiment_id: str | None) -> str:
    """Return the experiment of a caller's own decision id, which does not tell it; raise Invalid if it is not named."""
    if experiment_id is None:
        raise Invalid.field("experiment_id", "needed with a decision id of your own")
    return experiment_id


def check_activation(claims: DecisionClaims, served: ServedExperiment, now_ms: int) -> None:
    """Raise Conflict or Expired if a decision cannot be activated now."""
    if not claims.deferred:
        raise Conflict("the decision was not asked for with defer_activation, so it counts already")
    if is_late(claims, served, now_ms):
        raise Expired("the decision's reward window is over, so it can no longer be activated")


def is_late(claims: DecisionClaims, served: ServedExperiment, now_ms: int) -> bool:
    """Say whether the reward window of a decision is over."""
    return now_ms > claims.decision_ms + served.reward_window_ms


def rewarded_arm(
    request: RewardRequest, claims: DecisionClaims, served: ServedExperiment
) -> tuple[SlatePosition, ArmDefinition]:
    """Return the position and the arm that a reward is for.

    Raises:
        Invalid: the decision has no such position; Conflict: another arm was decided.
    """
    place = claims.at(request.position)
    if place is None:
        raise Invalid.field("position", f"the decision has {len(claims.slate) or 1} position(s), counted from 0")
    arm = served.experiment.arms[place.arm_index]
    if request.arm not in (None, arm.id):
        raise Conflict(f"the decision was for arm {arm.id!r}, not {request.arm!r}; nothing was counted")
    return place, arm
