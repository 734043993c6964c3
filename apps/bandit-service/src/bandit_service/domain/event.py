"""An event: one row of the ledger, which counts once because its key is unique."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from bandit_core.rules.selection import Stratum, Vector

Kind = Literal["decision", "activation", "reward", "outcome", "late"]


class EventKey(NamedTuple):
    """What makes two events the same event."""

    experiment_id: str
    decision_id: str
    kind: Kind
    position: int
    part: str
    decision_ms: int


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One row of the ledger. Times are milliseconds since the epoch (UTC); `event_ms` is when the service received it.

    Attributes:
        counted: Whether the row raises the totals.
        position: Place in a slate, from 0.
        part: The metric that a reward reports; empty for the reward itself.
        revision: Of the definition that was in force.
        reward_micro: The reward in millionths; None for an outcome that is ignored.
        unit_hash: The hashed unit, as hexadecimal digits.
        context: JSON text.
        settles: The outcome of the decision depends on several events, so the lease-holder looks at it.
        bucket_ms: Start of the bucket of time in which the decision waits for the end of its reward window, if it does.
        claim: JSON text of what was answered, for an id of the caller's own, which only one event may have.
    """

    experiment_id: str
    decision_id: str
    kind: Kind
    decision_ms: int
    event_ms: int
    arm_index: int
    stratum: Stratum
    counted: bool
    position: int = 0
    part: str = ""
    deferred: bool = False
    propensity: float | None = None
    weights_version: int | None = None
    revision: int | None = None
    reward_micro: int | None = None
    unit_hash: str | None = None
    vector: Vector | None = None
    segment: str | None = None
    slate_propensity: float | None = None
    context: str | None = None
    settles: bool = False
    bucket_ms: int | None = None
    claim: str | None = None

    @property
    def key(self) -> EventKey:
        return EventKey(self.experiment_id, self.decision_id, self.kind, self.position, self.part, self.decision_ms)


class Row(NamedTuple):
    """An attempt to insert an event. (batch, ord) are the same when the attempt is repeated."""

    batch: int
    ord: int
    event: Event


class Batch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Events that a process wrote down together, under a number of their own.

    `ords` are their places where some events of the batch are left out; empty if none are.
    """

    number: int
    events: tuple[Event, ...]
    ords: tuple[int, ...] = ()

    @property
    def rows(self) -> list[Row]:
        places = self.ords or range(len(self.events))
        return [Row(self.number, place, event) for place, event in zip(places, self.events, strict=True)]


def batches_of(rows: Iterable[Row]) -> list[Batch]:
    """Return rows as batches, each row under the number and place it has; of equal rows the first."""
    by_number: dict[int, dict[int, Event]] = {}
    for row in rows:
        by_number.setdefault(row.batch, {}).setdefault(row.ord, row.event)
    return [Batch(number, tuple(events.values()), tuple(events)) for number, events in by_number.items()]


encode_batch = msgspec.msgpack.Encoder().encode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
encode_event = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(Event).decode
