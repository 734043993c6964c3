"""What holds of every experiment that can be changed still, whichever way it came about."""

from __future__ import annotations

from collections.abc import Mapping

from bandit_core.guardrails import InfeasibleLimits
from bandit_service.allocator.compute import guardrails_of
from bandit_service.experiments.definition import Experiment
from bandit_service.problems import FieldError, Invalid


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
    if (strangers := _strangers(experiment)) is not None:
        found["policy.params"] = f"there is no arm {strangers!r}"
    try:
        guardrails_of(experiment.guardrails, len(active)).check_feasible(len(active))
    except InfeasibleLimits as error:
        found["guardrails.min_weight"] = str(error)
    return found


def _strangers(experiment: Experiment) -> str | None:
    """Return an arm that a policy's parameter names and that never was there: a slip that would misdirect traffic."""
    known = {arm.id for arm in experiment.arms}
    for value in experiment.policy.params.values():
        if isinstance(value, Mapping):
            for arm in value:
                if arm not in known:
                    return arm
    return None
