"""What was answered for a decision under its caller's own id."""

from __future__ import annotations

import msgspec

from bandit_core.rules.selection import Stratum, Vector


class OwnDecision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The claim on an own id: what a repeated request, or a reward, needs to know of the decision."""

    arm_index: int
    propensity: float
    decision_ms: int
    stratum: Stratum
    deferred: bool
    weights_version: int
    revision: int = 0
    vector: Vector = "published"
    segment: int | None = None


encode_own_decision = msgspec.json.Encoder().encode
decode_own_decision = msgspec.json.Decoder(OwnDecision).decode
