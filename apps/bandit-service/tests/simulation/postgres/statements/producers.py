"""The table of processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..parameters import as_datetime, as_us, ms, unpacked
from ..schema import ProducerRow, TimelineRow
from ..transaction import Steps, Transaction
from .registry import models, models_text

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]


@models("register_producer", writes=True)
def register_producer(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database = transaction.database
    taken = {row.slot for row in transaction.rows(database.producers) if not row.dead}
    slot = next(slot for slot in range(1_000) if slot not in taken)
    timeline = parameters["timeline"] or database.timeline()
    yield None
    at = database.now_us()
    row = ProducerRow(parameters["name"], slot, at, at, at, timeline, dead=False)
    yield from transaction.insert_new(database.producers, row.name, row)
    return [(slot, database.timeline(), ms(database.now_us()))]


@models("heartbeat", writes=True)
def heartbeat(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, name = transaction.database, parameters["name"]
    timeline, found = database.timeline(), []
    there = transaction.get(database.producers, name)
    # What others have written, as of the beginning: the statement does not see its own beat, nor its own timeline.
    whole_from = database.whole_from(transaction)
    yield None
    if there is not None and not there.dead:
        row = yield from transaction.lock(database.producers, name)
        if row is not None and not row.dead:
            changed = row._replace(
                heartbeat_at=database.now_us(),
                drained_to=parameters["drained_to_ms"] * 1_000,
                timeline=parameters["timeline"],
            )
            transaction.write(database.producers, name, changed)
            now = database.now_us()
            found.append((ms(now), timeline, whole_from is not None and whole_from <= now))
    settled_at = database.now_us() + round(parameters["dead_after"] * 1_000_000)
    yield from transaction.insert(database.timelines, timeline, TimelineRow(timeline, settled_at))
    return found


@models("producers")
def producers(transaction: Transaction, _: _Parameters) -> _Rows:
    now = transaction.database.now_us()
    return [
        (row.name, row.dead, (now - row.heartbeat_at) / 1_000_000, as_datetime(row.heartbeat_at))
        for row in sorted(transaction.rows(transaction.database.producers))
    ]


@models("drained")
def drained(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database = transaction.database
    oldest = min((row.drained_to for row in transaction.rows(database.producers)), default=None)
    is_written = oldest is None or oldest > parameters["until_ms"] * 1_000
    return [(is_written and not transaction.group(database.unsettled, parameters["experiment_id"]),)]


@models("enter_lost_producers", writes=True)
def enter_lost_producers(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database, entered = transaction.database, 0
    for name in unpacked(parameters["names"]):
        at = database.now_us()
        row = ProducerRow(name, 0, at, at, at, "", dead=False)
        entered += yield from transaction.insert(database.producers, name, row)
    return entered


@models("mark_producer_dead", writes=True)
def mark_producer_dead(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    table, name, beat = transaction.database.producers, parameters["name"], as_us(parameters["heartbeat_at"])
    there = transaction.get(table, name)
    if there is None or there.heartbeat_at != beat or transaction.database.timeline() != parameters["timeline"]:
        return 0
    yield None
    row = yield from transaction.lock(table, name)
    if row is None or row.heartbeat_at != beat:
        return 0
    transaction.write(table, name, row._replace(dead=True))
    return 1


@models_text("DELETE FROM producers WHERE name = %s", "name", writes=True)
def remove_producer(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    table, name = transaction.database.producers, parameters["name"]
    if transaction.get(table, name) is None or (yield from transaction.lock(table, name, strongly=True)) is None:
        return 0
    transaction.write(table, name, None)
    return 1
