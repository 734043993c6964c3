"""What a process is told of events that it hands in."""

from __future__ import annotations

from dataclasses import dataclass


class TooManyWaitingError(Exception):
    """More events wait for the stores than this process may keep."""


class UnrecordedError(Exception):
    """Neither store took the event in time. Nothing is promised about it.

    `was_sent`: the ledger was asked, and has not answered, so it may have the event.
    """

    def __init__(self, *, was_sent: bool = False) -> None:
        super().__init__()
        self.was_sent = was_sent


@dataclass(frozen=True, slots=True)
class Inserted:
    """The event is the first of its key, and counts."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """There was an event of the key: this is its reward in millionths. `filled`: the window's closing supplied it."""

    reward_micro: int | None
    filled: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """The caller's own id belongs to a decision that was made before: its time (ms) and claim."""

    decision_ms: int
    claim: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The event is in the spool; the ledger decides it later."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The event was kept apart, and never counts."""

    reason: str


type Answer = Inserted | Duplicate | Claimed | Queued | Refused
