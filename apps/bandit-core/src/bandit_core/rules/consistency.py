"""What holds of every experiment that can be changed still, whichever way it came about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

from bandit_core.guardrails import InfeasibleLimits
from bandit_core.rewards import make_reward_model
from bandit_core.rules.experiment import (
    DEFAULT_NAMESPACE,
    Experiment,
    FeaturesDefinition,
    SegmentField,
    StoppingDefinition,
)
from bandit_core.rules.fields import MOST_FEATURES, MOST_SEGMENTS, POLICIES
from bandit_core.rules.plain_data import check_plain
from bandit_core.rules.problems import FieldError, Invalid
from bandit_core.rules.vectors import contextual_policy_of, guardrails_of, has_only_floors, policy_of, stopping_rule

# A covariance is published for every arm, and counts for every segment, again and again.
_MOST_NUMBERS = 1_000_000
_MOST_COUNTS = 20_000
# What P(best) and expected loss cost grows with the square of the arms where their tails are heavy and their scales
# differ: 70 ms for so many at worst, 180 ms for 300 and 1 s for 500, and that up to once a second.
_MOST_GAUSSIAN_ARMS = 200
_DEEPEST_METADATA, _LONGEST_METADATA = 16, 65_536


def check(experiment: Experiment) -> None:
    """Return if an experiment is whole.

    Raises:
        Invalid: it is not; every field that is wrong is named.
    """
    errors = [FieldError(field=field, message=message) for field, message in _violations(experiment).items()]
    if errors:
        raise Invalid("; ".join(f"{error.field}: {error.message}" for error in errors), errors=errors)


def _violations(experiment: Experiment) -> dict[str, str]:
    found = dict(_unfit(experiment))
    if found:
        return found
    active = {arm.id for arm in experiment.active_arms}
    if experiment.default_arm not in active:
        found["default_arm"] = f"{experiment.default_arm!r} is not an active arm"
    if experiment.control_arm is not None and experiment.control_arm not in active:
        found["control_arm"] = f"{experiment.control_arm!r} is not an active arm"
    if experiment.holdout > 0.0 and experiment.control_arm is None:
        found["control_arm"] = "is required with a holdout: it is what the holdout is served"
    if (strangers := _strangers(experiment)) is not None:
        found["policy.params"] = f"there is no arm {strangers!r}"
    found |= _stopping(experiment, experiment.stopping) if experiment.stopping is not None else {}
    found |= _contextual(experiment) if experiment.is_contextual else {}
    found |= _segmented(experiment) if experiment.segment_by else {}
    found |= _gaussian(experiment) if experiment.is_gaussian else {}
    try:
        guardrails_of(experiment.guardrails, len(active)).check_feasible(len(active))
    except InfeasibleLimits as error:
        found["guardrails.min_weight"] = str(error)
    return found


def _stopping(experiment: Experiment, stopping: StoppingDefinition) -> dict[str, str]:
    found: dict[str, str] = {}
    if stopping.prob_better is not None:
        if experiment.is_gaussian:
            found["stopping.prob_better"] = "is for rewards between 0 and 1"
        elif experiment.holdout == 0.0:
            found["stopping.prob_better"] = "needs a holdout: it is the holdout that the policy is compared with"
    if stopping.expected_loss is not None and stopping.expected_loss > 1.0 and not experiment.is_gaussian:
        found["stopping.expected_loss"] = "must be at most 1, as rewards are"
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
    if len(experiment.active_arms) > _MOST_GAUSSIAN_ARMS:
        found["arms"] = f"with gaussian rewards at most {_MOST_GAUSSIAN_ARMS} arms may be active"
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
                    return str(arm)
    return None


def _unfit(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with single fields beyond their types."""
    head, dot, name = experiment.id.partition(".")
    if dot and head == DEFAULT_NAMESPACE:
        yield "experiment_id", f"write {name!r}: ids in the default namespace go without it"
    repeated = [name for name, times in Counter(arm.id for arm in experiment.arms).items() if times > 1]
    if repeated:
        yield "arms", f"ids of arms must differ; repeated: {', '.join(repeated[:5])}"
    yield from _policy(experiment)
    checks: Mapping[str, Callable[[], object]] = {
        "stopping": lambda: None if experiment.stopping is None else stopping_rule(experiment.stopping),
        "reward_model": lambda: _check_reward_model(experiment.reward_model),
        "metadata": lambda: _check_metadata(experiment.metadata),
        "context": lambda: None if experiment.context is None else _check_context(experiment.context),
        "segment_by": lambda: _check_segments(experiment.segment_by),
    }
    for field, fits in checks.items():
        try:
            fits()
        except ValueError as error:
            yield field, str(error)


def _policy(experiment: Experiment) -> Iterator[tuple[str, str]]:
    policy = experiment.policy
    if policy.name not in POLICIES:
        yield "policy.name", f"unknown policy; known are {', '.join(POLICIES)}"
        return
    try:
        check_plain(policy.params)
        (contextual_policy_of if experiment.is_contextual else policy_of)(experiment)
    except ValueError as error:
        yield "policy.params", str(error)


def _check_reward_model(model: Mapping[str, object] | None) -> None:
    if model is not None:
        check_plain(model)
        make_reward_model(model)


def _check_metadata(metadata: Mapping[str, object]) -> None:
    check_plain(metadata, deepest=_DEEPEST_METADATA, longest=_LONGEST_METADATA)
    if len(json.dumps(metadata).encode()) > _LONGEST_METADATA:
        raise ValueError(f"must hold at most {_LONGEST_METADATA} bytes as JSON")


def _check_context(context: FeaturesDefinition) -> None:
    features = context.features or ()
    if (context.features is None) == (context.dimension is None):
        raise ValueError("give either features, the names, or dimension, how many there are")
    if len(set(features)) < len(features):
        raise ValueError("names of features must differ")
    if (context.dimension or len(features)) + context.intercept > MOST_FEATURES:
        raise ValueError(f"at most {MOST_FEATURES} features are taken, the intercept included")


def _check_segments(fields: Sequence[SegmentField]) -> None:
    for each in fields:
        if len(set(each.values)) < len(each.values):
            raise ValueError("values must differ")
        if each.default not in each.values:
            raise ValueError("the default must be one of the values")
    if len({each.field for each in fields}) < len(fields):
        raise ValueError("fields must differ")
    if (segments := prod(len(each.values) for each in fields)) > MOST_SEGMENTS:
        raise ValueError(f"their values make {segments} segments; at most {MOST_SEGMENTS} are taken")
