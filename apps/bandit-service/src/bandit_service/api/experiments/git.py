"""Experiments that are kept in Git: what a file changes, and what only a file may change from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from bandit_core.rules import consistency as rules
from bandit_core.rules import transitions
from bandit_core.rules.experiment import Experiment, ExperimentSettings
from bandit_core.rules.experiment_requests import Arm, ExperimentChange, NewExperiment
from bandit_core.rules.fields import MOST_ARMS
from bandit_core.rules.problems import Conflict

# What events already mean cannot be changed under them.
_FIXED = set(ExperimentSettings.__struct_fields__) - set(ExperimentChange.__struct_fields__)


class File(NamedTuple):
    """An experiment as a file says it is, and the fields that the file names: they are Git's from then on."""

    experiment: NewExperiment
    named: tuple[str, ...]


def file_of(request: NewExperiment, document: Mapping[str, object]) -> File:
    """Return a file that was read as a request from this document."""
    return File(request, tuple(sorted(document.keys() - {"experiment_id"})))


def applied(experiment: Experiment, file: File) -> Experiment:
    """Return the experiment as a file says it is: unchanged if it is so already, else with the status it has.

    Raises:
        Conflict: it is over, or what differs cannot be changed; Invalid: fields that do not fit together.
    """
    request, named = file
    settings = {name: value for name, value in transitions.settings_of(request).items() if name in named}
    if "default_arm" in named:
        settings["default_arm"] = request.default_arm or request.arms[0].id
    after = replace(_with_arms(experiment, request.arms), **settings, git_fields=named)
    if after == experiment:
        return experiment
    transitions.check_open(experiment)
    for name in _FIXED & set(named):
        if getattr(after, name) != getattr(experiment, name):
            raise Conflict(f"{name} of experiment {experiment.id!r} cannot be changed: begin another experiment")
    transitions.check_learns_alike(experiment, after)
    rules.check(after)
    return after


def check_untouched(before: Experiment, after: Experiment) -> None:
    """Return if a change leaves alone what is kept in Git; raise Conflict if it does not."""
    touched = [name for name in before.git_fields if _value(before, name) != _value(after, name)]
    if touched:
        raise Conflict(f"kept in Git, so to be changed there: {', '.join(touched)} of experiment {before.id!r}")


def _value(experiment: Experiment, name: str) -> object:
    # Whether an arm has retired is a matter of running an experiment, as its status is.
    return [arm.id for arm in experiment.arms] if name == "arms" else getattr(experiment, name)


def _with_arms(experiment: Experiment, arms: Sequence[Arm]) -> Experiment:
    """Return the experiment with the arms it lacks added behind those it has."""
    known = {arm.id: arm for arm in experiment.arms}
    missing = [arm.id for arm in experiment.active_arms if arm.id not in {arm.id for arm in arms}]
    if missing:
        raise Conflict(f"the file lacks the active arm {missing[0]!r}: retire it before it is taken out")
    for arm in arms:
        as_given = transitions.arm_of(len(known), arm.id, arm.prior)
        there = known.setdefault(arm.id, replace(as_given, newcomer=True))
        named_prior = (as_given.prior_alpha_micro, as_given.prior_beta_micro)
        if arm.prior is not UNSET and named_prior != (there.prior_alpha_micro, there.prior_beta_micro):
            raise Conflict(f"the prior of arm {arm.id!r} cannot be changed: it is in the beliefs already")
    places = [known[arm.id].index for arm in arms]
    if places != sorted(places):
        raise Conflict("the order of the arms is their numbering: new ones go to the end of the file's list")
    if len(known) > MOST_ARMS:
        raise Conflict(f"an experiment may have {MOST_ARMS} arms, retired ones included")
    return replace(experiment, arms=tuple(known.values()))
