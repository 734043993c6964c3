"""BanditDB's requests as the service's own; what there is nothing for here is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.experiment_requests import Absence, NewArm, NewExperiment, read
from bandit_core.rules.problems import Invalid
from bandit_service.compat.banditdb.names import FIRST
from bandit_service.compat.banditdb.schemas import ALGORITHMS, HOUR, AddArm, CreateCampaign

REASON: Final = "asked for through /banditdb"
_POLICIES: Final[Mapping[str, str]] = {algorithm: policy for policy, algorithm in ALGORITHMS.items()}


def new_experiment(experiment_id: str, first: str, request: CreateCampaign) -> NewExperiment:
    """Return the experiment that a campaign becomes: a linear policy on the context as it is, without an intercept.

    `first` is the first experiment of that campaign.

    Raises:
        Invalid: it asks for what is not supported, or is wrong.
    """
    if request.pacing is not None:
        raise Invalid.field("pacing", "budgets are not supported")
    # An algorithm with a configuration of its own is an object with its name as the key.
    wanted = request.algorithm if isinstance(request.algorithm, str) else "/".join(request.algorithm)
    if wanted not in _POLICIES:
        raise Invalid.field("algorithm", f"{wanted[:40]!r} is not supported; known are {', '.join(_POLICIES)}")
    params = {"alpha": request.alpha}
    if request.decay_half_life_hours is not None:
        params["half_life"] = request.decay_half_life_hours * HOUR
    document = {
        "experiment_id": experiment_id,
        "arms": list(request.arms),
        "policy": {"name": _POLICIES[wanted], "params": params},
        "context": {"dimension": request.feature_dim, "intercept": False},
        "metadata": (request.metadata or {}) | ({} if first == experiment_id else {FIRST: first}),
    }
    return read(NewExperiment, document)


def new_arm(request: AddArm) -> NewArm:
    """Return the arm to add; raise Invalid if it is wrong, or is to begin with more than nothing."""
    for name in ("group", "warm_start", "costs"):
        if getattr(request, name) is not None:
            raise Invalid.field(name, "is not supported: a new arm begins without data, and costs nothing")
    return read(NewArm, {"id": request.arm_id, "reason": REASON})


def absence(experiment: Experiment, arm_id: str) -> Absence:
    """Return the request to take an arm out of service; where it is the default arm, another one takes its place."""
    others = [arm.id for arm in experiment.active_arms if arm.id != arm_id]
    successor = others[0] if others and experiment.default_arm == arm_id else None
    return Absence(reason=REASON, default_arm=successor)
