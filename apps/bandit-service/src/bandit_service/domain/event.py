"""The event as it stands in the stream: a JSON array, compact because Redis holds it until Postgres has it."""

from __future__ import annotations

from typing import Literal

import msgspec

Stratum = Literal["bandit", "holdout", "paused", "concluded", "direct"]
Kind = Literal["decision", "activation", "reward", "close", "late"]
# Which vector a decision was drawn from: the published one; one that was computed for its subset of the arms, its
# segment, its context; the published one renormalised over a subset that is not computed yet; a ranking of a sample.
Vector = Literal["published", "subset", "renormalised", "segment", "context", "slate"]
type Context = list[float] | dict[str, float | str]


class Circumstances(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What else an event was made of, where it is not the published vector alone."""

    vector: Vector = "published"
    segment: str | None = None
    slate_propensity: float | None = None
    context: Context | None = None


class EventRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is known of an event when it is handed in. Times are milliseconds since the epoch (UTC).

    Whether the event changed the beliefs, whether a unit was new and what a closing window was worth is decided inside
    the commit script, and stands beside this record in the stream.
    """

    decision_id: str
    decision_ms: int
    event_ms: int
    arm_index: int
    stratum: Stratum
    propensity: float | None = None
    reward_micro: int | None = None
    weights_version: int | None = None
    deferred: bool = False
    unit_hash: str | None = None
    position: int = 0
    circumstances: Circumstances | None = None


class EventKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What makes an event the same event, here and in Postgres."""

    decision_id: str
    kind: Kind
    position: int
    decision_ms: int


encode_record = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(EventRecord).decode
