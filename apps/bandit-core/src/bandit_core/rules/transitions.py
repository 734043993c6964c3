"""From one state of an experiment to the next: pure functions, each of which returns the experiment as it will be.

Pausing, resuming, retiring and archiving what is so already returns it unchanged: such a request can be repeated.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from bandit_core.rules import consistency as rules
from bandit_core.rules.experiment import (
    MICRO,
    ArmDefinition,
    ConclusionDefinition,
    Experiment,
    ExperimentSettings,
    namespace_of,
)
from bandit_core.rules.experiment_requests import (
    Absence,
    ConclusionRequest,
    ExperimentChange,
    NewArm,
    NewExperiment,
    Prior,
)
from bandit_core.rules.fields import MOST_ARMS
from bandit_core.rules.problems import Conflict, Invalid, NotFound
from bandit_core.stopping import Verdict


def created(request: NewExperiment, *, now: float, salt: str) -> Experiment:
    """Return the first revision of an experiment.

    Raises:
        Invalid: fields that do not fit together.
    """
    experiment = Experiment(
        id=request.experiment_id,
        namespace=namespace_of(request.experiment_id),
        status="running",
        revision=1,
        arms=tuple(arm_of(index, arm.id, arm.prior) for index, arm in enumerate(request.arms)),
        default_arm=request.arms[0].id if request.default_arm is None else request.default_arm,
        created_at=now,
        salt=salt,
        **settings_of(request),
    )
    rules.check(experiment)
    return experiment


def changed(experiment: Experiment, request: ExperimentChange) -> Experiment:
    """Return the experiment with other settings.

    Raises:
        Conflict: it is over; Invalid: fields that do not fit together.
    """
    check_open(experiment)
    if not request.settings:
        raise Invalid.field("body", "nothing to change is named")
    after = replace(experiment, **request.settings)
    check_learns_alike(experiment, after)
    rules.check(after)
    return after


def with_arm(experiment: Experiment, request: NewArm) -> Experiment:
    """Return the experiment with one more arm.

    Raises:
        Conflict: it is over, has that arm, has too many, or its guardrails leave no room.
    """
    check_open(experiment)
    if any(arm.id == request.id for arm in experiment.arms):
        raise Conflict(f"there is an arm {request.id!r} already; the ids of retired arms stay taken")
    if len(experiment.arms) >= MOST_ARMS:
        raise Conflict(f"an experiment may have {MOST_ARMS} arms, retired ones included")
    arm = replace(arm_of(len(experiment.arms), request.id, request.prior), newcomer=True)
    after = replace(experiment, arms=(*experiment.arms, arm))
    _check_floors_fit(after)
    return after


def without_arm(
    experiment: Experiment, arm_id: str, request: Absence, status: Literal["paused", "retired"] = "retired"
) -> Experiment:
    """Return the experiment with an arm that is not served: for a while, or as one that is not wanted any more.

    Raises:
        NotFound: there is no such arm; Conflict: the experiment is over, or the arm cannot be spared; Invalid: the
            replacement is no active arm.
    """
    check_open(experiment)
    arm = _known_arm(experiment, arm_id)
    if arm.status == status:
        return experiment
    if experiment.active_arms == (arm,):
        raise Conflict(f"{arm_id!r} is the last active arm; pause or archive the experiment instead")
    after = replace(
        experiment,
        arms=tuple(replace(each, status=status) if each is arm else each for each in experiment.arms),
        default_arm=_successor(arm_id, experiment.default_arm, request.default_arm, "default_arm"),
        control_arm=_successor(arm_id, experiment.control_arm, request.control_arm, "control_arm"),
    )
    rules.check(after)
    return after


def with_arm_back(experiment: Experiment, arm_id: str) -> Experiment:
    """Return the experiment with a paused or retired arm served again, with all it has learnt.

    Raises:
        NotFound: there is no such arm; Conflict: the experiment is over, or its guardrails leave no room.
    """
    check_open(experiment)
    arm = _known_arm(experiment, arm_id)
    if arm.status == "active":
        return experiment
    back = replace(arm, status="active", newcomer=True)
    after = replace(experiment, arms=tuple(back if each is arm else each for each in experiment.arms))
    _check_floors_fit(after)
    return after


def paused(experiment: Experiment) -> Experiment:
    """Return the experiment serving its default arm."""
    check_open(experiment)
    return replace(experiment, status="paused")


def resumed(experiment: Experiment) -> Experiment:
    """Return the experiment learning again."""
    check_open(experiment)
    return replace(experiment, status="running")


def archived(experiment: Experiment) -> Experiment:
    """Return the experiment put away for good."""
    return replace(experiment, status="archived")


def concluded(
    experiment: Experiment, *, winner: str | None, verdict: Verdict | None, now: float, who: str, why: str
) -> Experiment:
    """Return the experiment serving its winner, or its default arm when there is none.

    The outcome is the verdict's where that names the same winner; a winner that a person chose was not decided.

    Raises:
        Conflict: it is over, or the winner is not served; Invalid: there is no such arm.
    """
    check_open(experiment)
    if winner is not None:
        _check_can_win(experiment, winner)
    conclusion = ConclusionDefinition(
        at=now,
        who=who,
        why=why,
        outcome=verdict.outcome if verdict is not None and verdict.arm == winner else "undecided",
        prob_best=_evidence(verdict, "prob_best", winner),
        expected_loss=_evidence(verdict, "expected_loss", winner),
    )
    return replace(experiment, status="concluded", winner=winner, conclusion=conclusion)


def check_conclusion(request: ConclusionRequest) -> None:
    """Raise Invalid if a request asks the stopping rule to conclude and also names a winner."""
    if request.by_rule and request.winner is not None:
        raise Invalid.field("winner", "with by_rule the stopping rule names the winner")


def concluded_as_asked(
    experiment: Experiment, request: ConclusionRequest, verdict: Verdict | None, now: float, who: str
) -> Experiment:
    """Return the concluded experiment. Its winner is the named one, or else the verdict's.

    Raises:
        Conflict: it is over, there is no winner, or it is not served; Invalid: there is no such arm.
    """
    winner = request.winner or (verdict.arm if verdict is not None else None)
    after = concluded(experiment, winner=winner, verdict=verdict, now=now, who=who, why=request.reason)
    if winner is None:
        raise Conflict("the stopping rule names no winner: name one in the field winner")
    return after


def described(action: str, before: Experiment, after: Experiment) -> dict[str, Any]:
    """Return what a change was: the action, and the fields that differ as they were and as they are."""
    old, new = _shown(before), _shown(after)
    differing = [name for name in new if old[name] != new[name]]
    return {
        "action": action,
        "before": {name: old[name] for name in differing},
        "after": {name: new[name] for name in differing},
    }


def _shown(experiment: Experiment) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(experiment)
    for name in ("salt", "unit_salt", "revision"):
        del shown[name]
    return shown


def settings_of(request: NewExperiment) -> dict[str, Any]:
    """Return the settings of a request by name."""
    return {name: getattr(request, name) for name in ExperimentSettings.__struct_fields__}


def arm_of(index: int, arm_id: str, prior: Prior | UnsetType = UNSET) -> ArmDefinition:
    """Return an arm of a request as one of a definition."""
    known = prior or Prior()
    return ArmDefinition(
        index=index,
        id=arm_id,
        prior_alpha_micro=round(known.alpha * MICRO),
        prior_beta_micro=round(known.beta * MICRO),
    )


def check_revision(experiment: Experiment, expected: int | None) -> None:
    """Raise Conflict if a change was decided on another revision than the present one."""
    if expected is not None and expected != experiment.revision:
        raise Conflict(f"the experiment is at revision {experiment.revision}, not {expected}: read it again")


def _known_arm(experiment: Experiment, arm_id: str) -> ArmDefinition:
    try:
        return experiment.arm(arm_id)
    except KeyError:
        raise NotFound(f"experiment {experiment.id!r} has no arm {arm_id!r}") from None


def _check_floors_fit(after: Experiment) -> None:
    try:
        rules.check(after)
    except Invalid as invalid:
        raise Conflict(f"one more arm does not fit: {invalid.detail}") from None


def _successor[T: (str, str | None)](retiring: str, holder: T, successor: str | None, field: str) -> T:
    """Return who is the default or control arm from now on."""
    if holder != retiring:
        return holder if successor is None else successor
    if successor is None:
        raise Conflict(f"{retiring!r} is the {field}; name another one in the field {field} to replace it")
    return successor


def check_learns_alike(before: Experiment, after: Experiment) -> None:
    """Return if a linear model learns under a change as it did before; raise Conflict if it would begin anew."""
    if (before.is_contextual, *_learning(before)) != (after.is_contextual, *_learning(after)):
        raise Conflict("how a linear model learns (ridge, half_life) cannot be changed: begin another experiment")


def _learning(experiment: Experiment) -> tuple[object, object]:
    params = experiment.policy.params if experiment.is_contextual else {}
    return params.get("ridge", 1.0), params.get("half_life")


def check_open(experiment: Experiment) -> None:
    """Return if an experiment can be changed still; raise Conflict if it is over."""
    if experiment.status in ("concluded", "archived"):
        raise Conflict(f"experiment {experiment.id!r} is {experiment.status}: it can no longer be changed")


def _check_can_win(experiment: Experiment, winner: str) -> None:
    try:
        arm = experiment.arm(winner)
    except KeyError:
        raise Invalid.field("winner", f"experiment {experiment.id!r} has no arm {winner!r}") from None
    if arm.status != "active":
        raise Conflict(f"{winner!r} is {arm.status}, so it cannot be served")


def _evidence(verdict: Verdict | None, name: Any, winner: str | None) -> float | None:  # noqa: ANN401
    condition = None if verdict is None else verdict.condition(name)
    return None if condition is None or condition.arm != winner else condition.value
