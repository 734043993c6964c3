"""The bodies of /select and /activate; msgspec decodes and validates them in one step of about a microsecond."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bandit_service.events.record import Stratum

# Python lets `$` stand before a final line break, where JSON Schema does not: hence the look ahead.
EXPERIMENT_ID = r"^[A-Za-z0-9._-]{1,128}$(?!\n)"
OWN_DECISION_ID = r"^[A-Za-z0-9._:-]{1,128}$(?!\n)"
DECISION_ID = r"^[A-Za-z0-9._:-]{1,400}$(?!\n)"

ExperimentId = Annotated[str, msgspec.Meta(pattern=EXPERIMENT_ID)]
UnitId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class SelectRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ask which arm to serve."""

    experiment_id: ExperimentId
    unit_id: UnitId | None = None
    decision_id: Annotated[str, msgspec.Meta(pattern=OWN_DECISION_ID)] | None = None
    defer_activation: bool = False


class SelectResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The arm to serve. `recorded` is false while the store is away: the decision then waits in this process."""

    decision_id: str
    experiment_id: str
    arm: str
    arm_index: Annotated[int, msgspec.Meta(ge=0)]
    propensity: Annotated[float, msgspec.Meta(gt=0, le=1)]
    weights_version: Annotated[int, msgspec.Meta(ge=0)]
    stratum: Stratum
    recorded: bool


class ActivateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Say that a deferred decision was shown."""

    decision_id: Annotated[str, msgspec.Meta(pattern=DECISION_ID)]
    experiment_id: ExperimentId | None = None


class ActivateResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an activation."""

    status: Literal["activated", "duplicate"]
    decision_id: str
    experiment_id: str


class OwnDecision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the store remembers of a decision that carries its caller's own id."""

    arm_index: int
    propensity: float
    decision_ms: int
    stratum: Stratum
    deferred: bool
    weights_version: int
