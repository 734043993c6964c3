"""What a process can ask of the commit script, each in the form the script reads."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from bandit_service.domain.event import Circumstances, EventKey, EventRecord, Kind, encode_record
from bandit_service.domain.experiment import MICRO
from bandit_service.redis_store.keys import ExperimentKeys

# The script's answers; a positive one is the event's sequence number.
DUPLICATE = 0
LATE = -1
NOT_ACTIVATED = -2
UNKNOWN = -3
NO_CONTEXT = -4
# Not an answer of the script: the store was not reached, the operation waits or was dropped.
UNRECORDED = -100

RewardMode = Literal["b", "z", "h", "n"]
# Which count a decision raises: the bandit's, the holdout's or none.
Counter = Literal["d:", "hd:", ""]


def square_micro(micro: int) -> int:
    """Return the square of a number of millionths in millionths, rounded half up, as Postgres folds it too."""
    return (micro * micro + MICRO // 2) // MICRO


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

    __slots__ = ("closes_ms", "counter", "kept_context", "own_record", "remembers_unit", "segment")
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
        kept_context: bytes | None = None,
        segment: int | None = None,
    ) -> None:
        super().__init__(record)
        self.kept_context = kept_context
        self.segment = segment
        self.remembers_unit = remembers_unit
        self.counter = counter
        self.closes_ms = closes_ms
        self.own_record = own_record

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        rewarded = own_key = context = 0
        if self.closes_ms is not None:
            keys.append(names.rewarded(record.decision_id, record.position))
            rewarded = len(keys)
        if self.own_record is not None:
            keys.append(names.own_decision(record.decision_id))
            own_key = len(keys)
        if self.kept_context is not None:
            keys.append(names.context(record.decision_id))
            context = len(keys)
        arguments += (
            "D",
            record.arm_index,
            self.counter,
            "" if self.closes_ms is None else self.closes_ms,
            record.unit_hash if self.remembers_unit and record.unit_hash else "",
            pending_member(record, self.segment),
            rewarded,
            own_key,
            "" if self.is_uncertain else self.own_record or "",
            context,
            self.kept_context or "",
            encode_record(record),
        )


class Activate(Operation):
    """A deferred decision was shown: from here on it counts."""

    __slots__ = ("closes_ms", "counter", "deadline_ms", "needs_context", "segment")
    kind = "activation"

    def __init__(
        self,
        record: EventRecord,
        *,
        counter: Counter,
        deadline_ms: int | None,
        closes_ms: int | None = None,
        segment: int | None = None,
        needs_context: bool = False,
    ) -> None:
        super().__init__(record)
        self.segment = segment
        self.needs_context = needs_context
        self.counter = counter
        self.closes_ms = closes_ms
        self.deadline_ms = deadline_ms

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        keys += (names.rewarded(record.decision_id, record.position), names.activated(record.decision_id))
        rewarded, marker, context = len(keys) - 1, len(keys), 0
        if self.needs_context:
            keys.append(names.context(record.decision_id))
            context = len(keys)
        arguments += (
            "A",
            record.arm_index,
            self.counter,
            "" if self.closes_ms is None else self.closes_ms,
            pending_member(record, self.segment),
            rewarded,
            "" if self.is_accepted or self.deadline_ms is None else self.deadline_ms,
            marker,
            context,
            encode_record(record),
        )


class Reward(Operation):
    """A reward, or None in its record for an outcome that is ignored.

    `mode`: b enters the beliefs at once, z when its window closes, h counts for the holdout, n is only kept. A
    tentative one is not taken: another process may have taken a reward of the same decision already. `needs_context`:
    it enters with the context its decision was made in, and not without. The arm's second sum takes what is missing
    to 1 (beta), or the square of a gaussian reward. `segment` is the number of the one whose counts it enters.
    """

    __slots__ = ("deadline_ms", "is_gaussian", "marked", "mode", "needs_activation", "needs_context", "segment")
    kind = "reward"

    def __init__(
        self,
        record: EventRecord,
        *,
        mode: RewardMode,
        deadline_ms: int | None,
        marked: bool = True,
        needs_activation: bool = False,
        needs_context: bool = False,
        is_gaussian: bool = False,
        segment: int | None = None,
    ) -> None:
        super().__init__(record)
        self.needs_context = needs_context
        self.is_gaussian = is_gaussian
        self.segment = segment
        self.mode = mode
        self.deadline_ms = deadline_ms
        self.marked = marked
        self.needs_activation = needs_activation

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        marker = activation = context = 0
        if self.marked:
            keys.append(names.rewarded(record.decision_id, record.position))
            marker = len(keys)
        if self.needs_activation and not self.is_accepted:
            keys.append(names.activated(record.decision_id))
            activation = len(keys)
        if self.needs_context:
            keys.append(names.context(record.decision_id))
            context = len(keys)
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
            pending_member(record, self.segment) if self.mode == "z" else "",
            int(self.is_uncertain),
            context,
            "" if record.reward_micro is None or not self.is_gaussian else square_micro(record.reward_micro),
            "" if self.segment is None else self.segment,
            encode_record(record),
        )


class Close(Operation):
    """The reward window of a decision has closed: its outcome, or zero, enters the beliefs."""

    __slots__ = ("has_context", "member")
    kind = "close"

    def __init__(self, record: EventRecord, *, member: str, has_context: bool = False) -> None:
        super().__init__(record)
        self.member = member
        self.has_context = has_context

    def encode(self, names: ExperimentKeys, keys: list[str], arguments: list[str | bytes | int]) -> None:
        record = self.record
        context = 0
        if self.has_context:
            keys.append(names.context(record.decision_id))
            context = len(keys)
        keys += (
            names.rewarded(record.decision_id, record.position),
            names.alpha(record.arm_index),
            names.beta(record.arm_index),
        )
        count = len(keys)
        arguments += (
            "C",
            record.arm_index,
            self.member,
            count - 2,
            count - 1,
            count,
            context,
            self.member.split("|")[_SEGMENT] if self.member.count("|") >= _SEGMENT else "",
            encode_record(record),
        )


# Where a member names the number of the segment, if it does.
_SEGMENT = 4


def pending_member(record: EventRecord, segment: int | None = None) -> str:
    """Name a decision among those that wait for their window to close: arm, decision time, id, position, segment."""
    member = f"{record.arm_index}|{record.decision_ms}|{record.decision_id}"
    if not record.position and segment is None:
        return member
    return f"{member}|{record.position}|{'' if segment is None else segment}"


def close_of(member: str, now_ms: int, *, segments: Sequence[str] = (), has_context: bool = False) -> Close:
    """Return the operation that closes the window of a pending decision. `segments` are the names by number."""
    arm_index, decision_ms, decision_id, *more = member.split("|")
    position, segment = more or ("0", "")
    record = EventRecord(
        decision_id,
        int(decision_ms),
        now_ms,
        int(arm_index),
        "bandit",
        position=int(position),
        circumstances=Circumstances(segment=segments[int(segment)]) if segment else None,
    )
    return Close(record, member=member, has_context=has_context)
