"""How experiments are shown. Salts are no part of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from bandit_core.rules.experiment import (
    MICRO,
    ArmDefinition,
    ArmStatus,
    ConclusionDefinition,
    Experiment,
    ExperimentSettings,
    Status,
)
from bandit_core.rules.experiment_requests import Prior

State = Annotated[
    Status,
    Meta(
        description="paused: the default arm is served; concluded: the winner; archived: nothing", examples=["running"]
    ),
]
Namespace = Annotated[str, Meta(description="Namespace it belongs to", examples=["default"])]
CurrentRevision = Annotated[int, Meta(ge=1, description="Counts changes of the definition, from 1", examples=[3])]
Moment = Annotated[datetime, Meta(description="When it was created (UTC)")]
Winner = Annotated[str | None, Meta(description="Arm served since it was concluded; null before", examples=["b"])]
ShownId = Annotated[str, Meta(description="Id of the experiment", examples=["homepage"])]


class ArmView(msgspec.Struct, frozen=True, kw_only=True):
    """An arm. Its index never changes and is never reused."""

    id: Annotated[str, Meta(description="Id of the arm", examples=["b"])]
    index: Annotated[int, Meta(ge=0, description="Its number, from 0; the branch of a router")]
    status: Annotated[ArmStatus, Meta(description="active: it is served; paused: not now; retired: no longer")]
    prior: Prior

    @classmethod
    def of(cls, arm: ArmDefinition) -> Self:
        prior = Prior(alpha=arm.prior_alpha_micro / MICRO, beta=arm.prior_beta_micro / MICRO)
        return cls(id=arm.id, index=arm.index, status=arm.status, prior=prior)


class ConclusionView(ConclusionDefinition, frozen=True, kw_only=True):
    """How an experiment ended, and what was believed of the winner then."""

    at: Annotated[datetime, Meta(description="When (UTC)")]  # type: ignore[assignment]  # stored as seconds


class ExperimentView(ExperimentSettings, frozen=True, kw_only=True):
    """An experiment at one revision."""

    experiment_id: ShownId
    namespace: Namespace
    status: State
    revision: CurrentRevision
    created_at: Moment
    arms: Annotated[tuple[ArmView, ...], Meta(description="Every arm, retired ones too, in the order of their index")]
    default_arm: Annotated[str, Meta(description="Arm served while paused", examples=["a"])]
    winner: Winner
    conclusion: ConclusionView | None
    git_fields: Annotated[
        tuple[str, ...], Meta(description="Kept in Git: changed there, and refused here", examples=[["arms"]])
    ]

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Return what is shown of an experiment: the fields declared here, and no other."""
        ended = experiment.conclusion
        return cls(
            experiment_id=experiment.id,
            arms=tuple(ArmView.of(arm) for arm in experiment.arms),
            created_at=_moment(experiment.created_at),
            conclusion=None
            if ended is None
            else ConclusionView(**msgspec.structs.asdict(ended) | {"at": _moment(ended.at)}),
            **{name: getattr(experiment, name) for name in _SAME},
        )


_SAME = [name for name in ExperimentView.__struct_fields__ if name in Experiment.__struct_fields__]
_SAME = [name for name in _SAME if name not in ("arms", "created_at", "conclusion")]


class ExperimentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment in a list."""

    experiment_id: ShownId
    namespace: Namespace
    description: Annotated[str, Meta(description="What the experiment is for")]
    status: State
    revision: CurrentRevision
    created_at: Moment
    active_arms: Annotated[int, Meta(ge=0, description="How many arms are served")]
    winner: Winner

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        return cls(
            experiment_id=experiment.id,
            namespace=experiment.namespace,
            description=experiment.description,
            status=experiment.status,
            revision=experiment.revision,
            created_at=_moment(experiment.created_at),
            active_arms=len(experiment.active_arms),
            winner=experiment.winner,
        )


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some experiments in the order of their ids."""

    items: Annotated[tuple[ExperimentSummary, ...], Meta(description="The experiments of this page")]
    next_cursor: Annotated[str | None, Meta(description="Pass it as `cursor` for the next page; null at the end")]


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One change: who made it, why, what was before and after."""

    revision: CurrentRevision
    changed_at: Annotated[datetime, Meta(description="When (UTC)")]
    who: Annotated[str, Meta(description="The name of an API key, or `stopping rule`")]
    why: Annotated[str, Meta(description="The reason that was given")]
    change: Annotated[
        dict[str, Any],
        Meta(
            description="The action, and the fields that differ as they were and as they are",
            examples=[{"action": "pause", "before": {"status": "running"}, "after": {"status": "paused"}}],
        ),
    ]


class ChangePage(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of an experiment, newest first; ask for those before the last one's revision to go on."""

    items: Annotated[tuple[ChangeView, ...], Meta(description="The changes of this page")]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
