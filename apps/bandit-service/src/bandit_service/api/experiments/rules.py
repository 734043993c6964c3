"""What holds of every experiment that can be changed still, whichever way it came about."""

from __future__ import annotations

from collections.abc import Mapping

from bandit_core.guardrails import InfeasibleLimits
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.problems import FieldError, Invalid
from bandit_core.rules.vectors import guardrails_of, has_only_floors

# A covariance is published for every arm, and counts for every segment, again and again.
_MOST_NUMBERS = 1_000_000
_MOST_COUNTS = 20_000


def check(experiment: Experiment) -> None:
    """Return if an experiment is whole.

    Raises:
        Invalid: it is not; every field that is wrong is named.
    """
    errors = [FieldError(field=field, message=message) for field, message in _violations(experiment).items()]
    if errors:
        raise Invalid("; ".join(f"{error.field}: {error.message}" for error in errors), errors=errors)


def _violations(experiment: Experiment) -> dict[str, str]:
    active = {arm.id for arm in experiment.active_arms}
    found: dict[str, str] = {}
    if experiment.default_arm not in active:
        found["default_arm"] = f"{experiment.default_arm!r} is not an active arm"
    if experiment.control_arm is not None and experiment.control_arm not in active:
        found["control_arm"] = f"{experiment.control_arm!r} is not an active arm"
    if experiment.holdout > 0.0 and experiment.control_arm is None:
        found["control_arm"] = "is required with a holdout: it is what the holdout is served"
    if experiment.stopping is not None and experiment.stopping.prob_better is not None:
        if experiment.is_gaussian:
            found["stopping.prob_better"] = "is for rewards between 0 and 1"
        elif experiment.holdout == 0.0:
            found["stopping.prob_better"] = "needs a holdout: it is the holdout that the policy is compared with"
    if (strangers := _strangers(experiment)) is not None:
        found["policy.params"] = f"there is no arm {strangers!r}"
    found |= _contextual(experiment) if experiment.is_contextual else {}
    found |= _segmented(experiment) if experiment.segment_by else {}
    found |= _gaussian(experiment) if experiment.is_gaussian else {}
    try:
        guardrails_of(experiment.guardrails, len(active)).check_feasible(len(active))
    except InfeasibleLimits as error:
        found["guardrails.min_weight"] = str(error)
    return found


def _contextual(experiment: Experiment) -> dict[str, str]:
    found = _only_floors(experiment)
    if experiment.context is None:
        found["context"] = f"is required by the policy {experiment.policy.name}: name its features, or their dimension"
    elif len(experiment.arms) * experiment.dimension**2 > _MOST_NUMBERS:
        most = _MOST_NUMBERS // experiment.dimension**2
        found["context"] = f"with {experiment.dimension} features at most {most} arms are taken"
    if experiment.assignment == "sticky":
        found["assignment"] = "a vector of a context is drawn from anew for every request: it cannot be sticky"
    if experiment.segment_by:
        found["segment_by"] = "is for policies without features; put the categories into the features as 0 and 1"
    stopping = experiment.stopping
    if stopping is not None and (stopping.prob_best is not None or stopping.expected_loss is not None):
        found["stopping.prob_best"] = (
            "no arm is the best one for every context: set prob_best and expected_loss to null, and prob_better or "
            "max_duration"
        )
    return found


def _segmented(experiment: Experiment) -> dict[str, str]:
    found = _only_floors(experiment)
    if len(experiment.segments) * len(experiment.arms) > _MOST_COUNTS:
        found["segment_by"] = f"segments times arms may be {_MOST_COUNTS} at most"
    return found


def _gaussian(experiment: Experiment) -> dict[str, str]:
    found: dict[str, str] = {}
    if experiment.is_contextual:
        found["policy.name"] = "linear policies take rewards between 0 and 1"
    if experiment.segment_by:
        found["segment_by"] = "is for rewards between 0 and 1"
    if experiment.missing_reward == "zero":
        found["missing_reward"] = "a missing gaussian reward says nothing: it can only be ignored"
    if experiment.reward_model is not None:
        found["reward_model"] = "gives rewards between 0 and 1, not gaussian ones"
    return found


def _only_floors(experiment: Experiment) -> dict[str, str]:
    """Return what is wrong with guardrails that need one vector to move step by step."""
    if has_only_floors(experiment):
        return {}
    return {"guardrails": "of its limits only min_weight can hold for vectors by context or segment"}


def _strangers(experiment: Experiment) -> str | None:
    """Return an arm that a policy's parameter names and that never was there: a slip that would misdirect traffic."""
    known = {arm.id for arm in experiment.arms}
    for value in experiment.policy.params.values():
        if isinstance(value, Mapping):
            for arm in value:
                if arm not in known:
                    return arm
    return None
