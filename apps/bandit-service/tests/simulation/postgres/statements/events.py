"""Reading events and claims, and keeping events apart that never count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bandit_service.ledger.pool import _LIMITS

from .. import jsonb
from ..parameters import columns, ms, unpacked
from ..schema import EventRow, RefusedEvent
from ..transaction import Steps, Transaction
from .registry import models, models_text

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]


@models_text("SELECT 1")
def ping(transaction: Transaction, _: _Parameters) -> _Rows:  # noqa: ARG001
    return [(1,)]


@models_text(_LIMITS, "milliseconds")
def limit(transaction: Transaction, parameters: _Parameters) -> _Rows:
    milliseconds = parameters["milliseconds"]
    transaction.session.limit(int(milliseconds) / 1_000)
    return [(milliseconds, milliseconds)]


@models("timeline")
@models_text("SELECT ledger_timeline()")
def timeline(transaction: Transaction, _: _Parameters) -> _Rows:
    return [(transaction.database.timeline(),)]


@models("ledger_state")
def ledger_state(transaction: Transaction, _: _Parameters) -> _Rows:
    return [(transaction.database.timeline(), transaction.database.is_whole(transaction))]


@models("stored_events")
def stored_events(transaction: Transaction, parameters: _Parameters) -> _Rows:
    keys = columns(parameters, "experiment_id", "decision_id", "kind", "position", "part", "decision_time")
    table = transaction.database.bandit_events
    first, last = parameters["first_ms"] * 1_000, parameters["last_ms"] * 1_000
    found = [(place, transaction.get(table, key)) for place, key in enumerate(keys) if first <= key[-1] <= last]
    return [(place, *_stored(event)) for place, event in found if event is not None]


def _stored(event: EventRow) -> tuple[Any, ...]:
    return (
        event.batch,
        event.ord,
        event.filled,
        ms(event.event_time),
        event.arm_index,
        event.stratum,
        event.counted,
        event.deferred,
        event.propensity,
        event.weights_version,
        event.revision,
        event.reward_micro,
        None if event.unit_hash is None else event.unit_hash.hex(),
        event.vector,
        event.segment,
        event.slate_propensity,
        event.context,
        event.settles,
        None if event.bucket is None else ms(event.bucket),
    )


@models("own_claims")
def own_claims(transaction: Transaction, parameters: _Parameters) -> _Rows:
    table = transaction.database.own_ids
    found = [
        (place, transaction.get(table, key)) for place, key in enumerate(columns(parameters, "experiment_id", "own_id"))
    ]
    return [(place, ms(own.decision_time), jsonb.canonical(own.claim)) for place, own in found if own is not None]


@models("refuse_event", writes=True)
def refuse_event(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database = transaction.database
    text = jsonb.checked(parameters["event"])
    event = jsonb.parsed(text)
    unit = event.get("unit_hash") if isinstance(event, dict) else None
    if unit is not None and any(row.unit_hash.hex() == unit for row in transaction.rows(database.erased_units)):
        text = jsonb.written(event | {"unit_hash": None, "context": None})
    row = RefusedEvent(
        database.next_id("refused_events"),
        transaction.began_us,
        parameters["experiment_id"],
        parameters["reason"],
        text,
    )
    yield from transaction.insert_new(database.refused_events, row.id, row)
    return 1


@models(
    "decision_events",
    columns=(
        "decision_id",
        "kind",
        "decision_ms",
        "event_ms",
        "arm_index",
        "stratum",
        "counted",
        "position",
        "part",
        "deferred",
        "propensity",
        "weights_version",
        "revision",
        "reward_micro",
        "vector",
        "segment",
        "context",
    ),
)
def decision_events(transaction: Transaction, parameters: _Parameters) -> _Rows:
    table, experiment_id = transaction.database.bandit_events, parameters["experiment_id"]
    with_context = parameters["with_context"]
    return [
        (
            event.decision_id,
            event.kind,
            ms(event.decision_time),
            ms(event.event_time),
            event.arm_index,
            event.stratum,
            event.counted,
            event.position,
            event.part,
            event.deferred,
            event.propensity,
            event.weights_version,
            event.revision,
            event.reward_micro,
            event.vector,
            event.segment,
            event.context if with_context else None,
        )
        for decision_id, decision_time in _wanted(parameters)
        for event in _if_due(
            transaction.group(table, (experiment_id, decision_id, decision_time)), alone=parameters["alone"]
        )
    ]


def _if_due(events: Sequence[EventRow], *, alone: bool) -> Sequence[EventRow]:
    return events if alone or any(event.kind in ("activation", "reward") for event in events) else ()


def _wanted(parameters: _Parameters) -> list[tuple[str, int]]:
    ids, times = unpacked(parameters["decision_id"]), unpacked(parameters["decision_time"])
    first, last = parameters["first_ms"] * 1_000, parameters["last_ms"] * 1_000
    return [(name, at) for name, at in zip(ids, times, strict=True) if first <= at <= last]
