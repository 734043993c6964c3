"""Settling and closing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..database import ONLY_ROW
from ..parameters import columns, ms
from ..schema import EventRow, Exposure
from ..transaction import Steps, Transaction
from .inserting import insert_events, raise_totals
from .registry import models

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]

_SETTLED_COLUMNS: Final = (
    "decision_id",
    "kind",
    "position",
    "part",
    "decision_time",
    "event_time",
    "ord",
    "arm_index",
    "stratum",
    "counted",
    "deferred",
    "propensity",
    "weights_version",
    "revision",
    "reward_micro",
    "vector",
    "segment",
)
_WAITING_KINDS: Final = ("decision", "activation", "reward")
_WAITING_STRATA: Final = ("bandit", "holdout")


@models("unsettled")
def unsettled(transaction: Transaction, parameters: _Parameters) -> _Rows:
    table = transaction.database.unsettled
    oldest = sorted(transaction.group(table, parameters["experiment_id"]))[: parameters["rows"]]
    found: _Rows = []
    for row in oldest:
        # No further row is begun once those before it name enough.
        if len(found) >= parameters["decisions"]:
            break
        found += [(row.id, name, ms(at)) for name, at in zip(row.decision_ids, row.times, strict=True)]
    return found


@models("delete_unsettled", writes=True)
def delete_unsettled(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    table, deleted = transaction.database.unsettled, 0
    keys = [(parameters["experiment_id"], number) for number in parameters["ids"]]
    for key in [key for key in keys if transaction.get(table, key) is not None]:
        if (yield from transaction.lock(table, key, strongly=True)) is not None:
            transaction.write(table, key, None)
            deleted += 1
    return deleted


@models("insert_settled", writes=True)
def insert_settled(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, slot = transaction.database, parameters["slot"]
    oldest = transaction.get(database.kept_from, ONLY_ROW).oldest
    rows = [
        _settled_event(transaction, parameters, row)
        for row in sorted(columns(parameters, *_SETTLED_COLUMNS), key=lambda row: row[:4])
    ]
    yield None
    inserted = yield from insert_events(transaction, [row for row in rows if row.decision_time >= oldest])
    yield from raise_totals(transaction, inserted, slot)
    return [([row.ord for row in inserted],)]


def _settled_event(transaction: Transaction, parameters: _Parameters, row: tuple[Any, ...]) -> EventRow:
    given = dict(zip(_SETTLED_COLUMNS, row, strict=True))
    return EventRow(
        experiment_id=parameters["experiment_id"],
        recorded_at=transaction.began_us,
        batch=parameters["turn"],
        filled=given["kind"] != "outcome",
        unit_hash=None,
        slate_propensity=None,
        context=None,
        settles=False,
        bucket=None,
        **given,
    )


@models("due_bucket")
def due_bucket(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database = transaction.database
    rows = transaction.group(database.open_buckets, parameters["experiment_id"])
    drained_to = min((row.drained_to for row in transaction.rows(database.producers)), default=None)
    if not rows or drained_to is None:
        return []
    bucket = min(row.bucket for row in rows)
    ends = bucket + parameters["open_ms"] * 1_000
    if ends >= parameters["now_ms"] * 1_000 or ends >= drained_to or not database.is_whole(transaction):
        return []
    found = sorted((row.slot, row.events) for row in rows if row.bucket == bucket)
    return [(database.timeline(), ms(bucket), [slot for slot, _ in found], [events for _, events in found])]


@models("bucket_decisions")
def bucket_decisions(transaction: Transaction, parameters: _Parameters) -> _Rows:
    experiment_id, after_id = parameters["experiment_id"], parameters["after_id"]
    after, end = parameters["after_ms"] * 1_000, parameters["end_ms"] * 1_000
    found = {
        (row.decision_time, row.decision_id)
        for row in transaction.rows(transaction.database.bandit_events)
        if row.experiment_id == experiment_id
        and after <= row.decision_time < end
        and row.kind in _WAITING_KINDS
        and row.stratum in _WAITING_STRATA
        and (row.decision_time > after or row.decision_id.encode() > after_id.encode())
    }
    page = sorted(found, key=lambda key: (key[0], key[1].encode()))[: parameters["decisions"]]
    return [(decision_id, ms(decision_time)) for decision_time, decision_id in page]


@models("delete_bucket", writes=True)
def delete_bucket(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    table, deleted = transaction.database.open_buckets, 0
    if transaction.database.timeline() != parameters["timeline"]:
        return 0
    bucket = parameters["bucket_ms"] * 1_000
    closed = [
        ((parameters["experiment_id"], bucket, slot), events) for slot, events in columns(parameters, "slots", "events")
    ]
    closed = [(key, events) for key, events in closed if _counts(transaction.get(table, key), events)]
    yield None
    for key, events in closed:
        row = yield from transaction.lock(table, key, strongly=True)
        if _counts(row, events):
            transaction.write(table, key, None)
            deleted += 1
    return deleted


def _counts(row: Any, events: int) -> bool:
    return row is not None and row.events == events


@models("expose_units", writes=True)
def expose_units(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database, experiment_id = transaction.database, parameters["experiment_id"]
    first: dict[bytes, Exposure] = {}
    for decision_id, decision_time in columns(parameters, "decision_id", "decision_time"):
        for row in transaction.group(database.bandit_events, (experiment_id, decision_id, decision_time)):
            if row.kind != "decision" or row.unit_hash is None:
                continue
            if transaction.get(database.erased_units, row.unit_hash) is not None:
                continue
            exposure = Exposure(experiment_id, row.unit_hash, decision_id, decision_time, row.stratum)
            known = first.setdefault(row.unit_hash, exposure)
            if (decision_time, decision_id) < (known.decision_time, known.decision_id):
                first[row.unit_hash] = exposure
    yield None
    exposed = 0
    for unit_hash, exposure in sorted(first.items()):
        exposed += yield from transaction.insert(database.exposures, (experiment_id, unit_hash), exposure)
    return exposed
