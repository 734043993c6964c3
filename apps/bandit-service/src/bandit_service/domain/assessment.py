"""What the lease-holder computed beside the weights. It is kept with the publication, and views show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class ArmAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """One arm when weights were published. Without P(best) and expected loss it cannot be served."""

    arm_index: int
    mean: float
    low: float
    high: float
    prob_best: float | None
    expected_loss: float | None
    weight: float
    density: Mapping[str, float]


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """The arms of an experiment; and the verdict of its stopping rule with its sentence, None without a rule."""

    arms: Sequence[ArmAssessment] = ()
    verdict: Mapping[str, Any] | None = None


encode_assessment = msgspec.json.Encoder().encode
