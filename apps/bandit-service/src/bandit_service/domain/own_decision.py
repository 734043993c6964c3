"""A decision that carries its caller's own id."""

from __future__ import annotations

import msgspec

from bandit_service.domain.event import Stratum, Vector


class OwnDecision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the store remembers of a decision that carries its caller's own id."""

    arm_index: int
    propensity: float
    decision_ms: int
    stratum: Stratum
    deferred: bool
    weights_version: int
    vector: Vector = "published"
    segment: int | None = None
