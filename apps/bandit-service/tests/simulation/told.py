"""What clients were told. The checker reads nothing else of what the processes did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .schedule import Activate, Direct, Erase, Reward, Select

# `silent`: no answer came, so nothing is promised. `unavailable`: the same, said with 503. `unknown`: there is no such
# decision. `late`: refused with 410. `refused`: with 409, because it does not fit.
type Result = Literal[
    "recorded",
    "unrecorded",
    "applied",
    "duplicate",
    "queued",
    "activated",
    "erased",
    "late",
    "refused",
    "unknown",
    "unavailable",
    "silent",
]


@dataclass(frozen=True, slots=True)
class Shown:
    """A decision as a client has it: its id, and each position's arm with its propensity."""

    decision_id: str
    places: tuple[tuple[int, float], ...]
    weights_version: int


@dataclass(frozen=True, slots=True)
class Told:
    """One attempt of a client, and its answer. Times are true seconds; `micro` is the value that a duplicate names."""

    asked: Select | Reward | Direct | Activate | Erase
    replica: str
    sent_at: float
    answered_at: float
    result: Result
    experiment: str
    shown: Shown | None = None
    micro: int | None = None
