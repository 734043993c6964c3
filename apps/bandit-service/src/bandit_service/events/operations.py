"""What a process can ask of the commit script, each in the form the script reads."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from bandit_service.events.record import EventKey, EventRecord, Kind, encode_record
from bandit_service.redis_store.keys import ExperimentKeys

# The script's answers; a positive one is the event's sequence number.
DUPLICATE = 0
LATE = -1
NOT_ACTIVATED = -2
UNKNOWN = -3
# Not an answer of the script: the store was not reached, the operation waits or was dropped.
UNRECORDED = -100

RewardMode = Literal["b", "z", "h", "n"]
# Which count a decision raises: the bandit's, the holdout's or none.
Counter = Literal["d:", "hd:", ""]


class Operation(ABC):
    """One event to commit, and whoever waits for its outcome.

    `tentative`: sent while another process may still have to send again what it acknowledged before. `is_accepted`:
    the store has said yes before; sent again, it is not judged anew, though it may be late by then.
    """

    __slots__ = ("future", "is_accepted", "record", "tentative")
    kind: ClassVar[Kind]
    waits_out_outages: ClassVar[bool] = False

    def __init__(self, record: EventRecord) -> None:
        self.record = record
        self.future: asyncio.Future[int] | None = None
        self.tentative = False
        self.is_accepted = False

    @property
    def key(self) -> EventKey:
        record = self.record
        return EventKey(record.decision_id, self.kind, record.position, record.decision_ms)

    @property
    def is_uncertain(self) -> bool:
        """Whether the store may have forgotten that this was done already."""
        return self.tentative and not self.is_accepted

    def settle(self, outcome: int) -> None:
        """Tell whoever waits; nobody may be waiting any more."""
        future, self.future = self.future, None
        if future is not None and not future.done():
            future.set_result(outcome)

    @abstractmethod
    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        """Append the keys and arguments this operation needs."""


class Decide(Operation):
    """A decision; one that is deferred raises its counter when it is activated.

    One that carries its caller's own id and is tentative is not made: the store only says whether it is known, since
    another process may have answered for that id already.
    """

    __slots__ = ("closes_ms", "counter", "own_record", "remembers_unit")
    kind = "decision"
    waits_out_outages = True

    def __init__(
        self,
        record: EventRecord,
        *,
        counter: Counter,
        closes_ms: int | None = None,
        own_record: bytes | None = None,
        remembers_unit: bool = False,
    ) -> None:
        super().__init__(record)
        self.remembers_unit = remembers_unit
        self.counter = counter
        self.closes_ms = closes_ms
        self.own_record = own_record

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        rewarded = own_key = 0
        if self.closes_ms is not None:
            keys.append(names.rewarded(record.decision_id))
            rewarded = len(keys)
        if self.own_record is not None:
            keys.append(names.own_decision(record.decision_id))
            own_key = len(keys)
        arguments += (
            "D",
            record.arm_index,
            self.counter,
            "" if self.closes_ms is None else self.closes_ms,
            record.unit_hash if self.remembers_unit and record.unit_hash else "",
            pending_member(record),
            rewarded,
            own_key,
            "" if self.is_uncertain else self.own_record or "",
            encode_record(record),
        )


class Activate(Operation):
    """A deferred decision was shown: from here on it counts."""

    __slots__ = ("closes_ms", "counter", "deadline_ms")
    kind = "activation"

    def __init__(
        self, record: EventRecord, *, counter: Counter, deadline_ms: int | None, closes_ms: int | None = None
    ) -> None:
        super().__init__(record)
        self.counter = counter
        self.closes_ms = closes_ms
        self.deadline_ms = deadline_ms

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        keys += (names.rewarded(record.decision_id), names.activated(record.decision_id))
        arguments += (
            "A",
            record.arm_index,
            self.counter,
            "" if self.closes_ms is None else self.closes_ms,
            pending_member(record),
            len(keys) - 1,
            "" if self.is_accepted or self.deadline_ms is None else self.deadline_ms,
            len(keys),
            encode_record(record),
        )


class Reward(Operation):
    """A reward, or None in its record for an outcome that is ignored.

    `mode`: b enters the beliefs at once, z when its window closes, h counts for the holdout, n is only kept. A
    tentative one is not taken: another process may have taken a reward of the same decision already.
    """

    __slots__ = ("deadline_ms", "marked", "mode", "needs_activation")
    kind = "reward"

    def __init__(
        self,
        record: EventRecord,
        *,
        mode: RewardMode,
        deadline_ms: int | None,
        marked: bool = True,
        needs_activation: bool = False,
    ) -> None:
        super().__init__(record)
        self.mode = mode
        self.deadline_ms = deadline_ms
        self.marked = marked
        self.needs_activation = needs_activation

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        marker = activation = 0
        if self.marked:
            keys.append(names.rewarded(record.decision_id))
            marker = len(keys)
        if self.needs_activation and not self.is_accepted:
            keys.append(names.activated(record.decision_id))
            activation = len(keys)
        keys += (names.alpha(record.arm_index), names.beta(record.arm_index))
        arguments += (
            "R",
            record.arm_index,
            self.mode,
            "" if record.reward_micro is None else record.reward_micro,
            "" if self.is_accepted or self.deadline_ms is None else self.deadline_ms,
            marker,
            activation,
            len(keys) - 1,
            len(keys),
            pending_member(record) if self.mode == "z" else "",
            int(self.is_uncertain),
            encode_record(record),
        )


class Close(Operation):
    """The reward window of a decision has closed: its outcome, or zero, enters the beliefs."""

    __slots__ = ("member",)
    kind = "close"

    def __init__(self, record: EventRecord, *, member: str) -> None:
        super().__init__(record)
        self.member = member

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        keys += (names.rewarded(record.decision_id), names.alpha(record.arm_index), names.beta(record.arm_index))
        count = len(keys)
        arguments += ("C", record.arm_index, self.member, count - 2, count - 1, count, encode_record(record))


def pending_member(record: EventRecord) -> str:
    """Name a decision among those that wait for their window to close: arm, decision time, id."""
    return f"{record.arm_index}|{record.decision_ms}|{record.decision_id}"


def close_of(member: str, now_ms: int) -> Close:
    """Return the operation that closes the window of a pending decision."""
    arm_index, decision_ms, decision_id = member.split("|", 2)
    return Close(EventRecord(decision_id, int(decision_ms), now_ms, int(arm_index), "bandit"), member=member)
