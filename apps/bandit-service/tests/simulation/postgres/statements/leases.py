"""Who looks after an experiment."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from ..parameters import columns, unpacked
from ..schema import LeaseRow
from ..transaction import Steps, Transaction
from .registry import models

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]


def _judge(transaction: Transaction, life: float) -> Callable[[str | None], bool]:
    """Return what says, as of now, whether a holder is dead, silent or gone."""
    database = transaction.database
    known = {row.name: row for row in transaction.rows(database.producers)}
    silent_since = database.now_us() - round(life * 1_000_000)

    def is_gone(holder: str | None) -> bool:
        producer = None if holder is None else known.get(holder)
        return producer is None or producer.dead or producer.heartbeat_at < silent_since

    return is_gone


@models("claim_leases", writes=True)
def claim_leases(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, holder = transaction.database, parameters["holder"]
    base, is_gone = database.timeline_base(), _judge(transaction, parameters["life"])

    def is_vacant(row: LeaseRow) -> bool:
        return row.token < base if row.holder == holder else is_gone(row.holder)

    there = list(transaction.rows(database.leases))
    vacant = sorted(row.experiment_id for row in there if is_vacant(row))
    held = {row.experiment_id: row.token for row in there if row.holder == holder}
    yield None
    taken = 0
    for experiment_id in vacant:
        if taken == parameters["most"]:
            break
        if not transaction.is_free(database.leases, experiment_id):
            continue
        # What others have changed meanwhile is looked at again.
        row = yield from transaction.lock(database.leases, experiment_id)
        if row is None or not is_vacant(row):
            continue
        token = max(row.token + 1, base)
        transaction.write(database.leases, experiment_id, row._replace(holder=holder, token=token))
        held[experiment_id] = token
        taken += 1
    digest = str(sum(zlib.crc32(f"{name} {token}".encode()) << 20 ^ token for name, token in held.items()))
    if digest == parameters["digest"] or not held:
        return [(digest, None, None)]
    names = sorted(held)
    return [(digest, names, [held[name] for name in names])]


@models("take_lease", writes=True)
def take_lease(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, name, holder = transaction.database, parameters["experiment_id"], parameters["holder"]
    base, is_gone = database.timeline_base(), _judge(transaction, parameters["life"])

    def merged(there: LeaseRow) -> LeaseRow | None:
        if there.holder != holder and not is_gone(there.holder):
            return None
        if there.holder == holder and there.token >= base:
            return there
        return there._replace(holder=holder, token=max(there.token + 1, base))

    yield None
    new = LeaseRow(name, holder, max(1, base), 0)
    row = yield from transaction.upsert(database.leases, name, new, merged)
    if row is new:
        yield from transaction.refer(database.experiments, name)
    return [] if row is None else [(row.token,)]


@models("insert_lease", writes=True)
def insert_lease(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database, name = transaction.database, parameters["experiment_id"]
    inserted = yield from transaction.insert(database.leases, name, LeaseRow(name, None, 0, 0))
    if inserted:
        yield from transaction.refer(database.experiments, name)
    return int(inserted)


@models("release_leases", writes=True)
def release_leases(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    table, holder, released = transaction.database.leases, parameters["holder"], 0
    held = [row.experiment_id for row in transaction.rows(table) if row.holder == holder]
    yield None
    for experiment_id in held:
        row = yield from transaction.lock(table, experiment_id)
        if row is not None and row.holder == holder:
            transaction.write(table, experiment_id, row._replace(holder=None))
            released += 1
    return released


def _is_held(row: LeaseRow | None, parameters: _Parameters) -> bool:
    return row is not None and row.holder == parameters["holder"] and row.token == parameters["token"]


@models("lock_lease", writes=True)
def lock_lease(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    table, name = transaction.database.leases, parameters["experiment_id"]
    if not _is_held(transaction.get(table, name), parameters):
        return []
    yield None
    row = yield from transaction.lock(table, name, strongly=True)
    return [(row.turn,)] if _is_held(row, parameters) else []


@models("next_turn", writes=True)
def next_turn(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, name = transaction.database, parameters["experiment_id"]
    there = transaction.get(database.leases, name)
    if not _is_held(there, parameters) or database.timeline() != parameters["timeline"]:
        return []
    yield None
    row = yield from transaction.lock(database.leases, name)
    if not _is_held(row, parameters):
        return []
    transaction.write(database.leases, name, row._replace(turn=row.turn + 1))
    return [(row.turn + 1,)]


@models("lease_turn")
def lease_turn(transaction: Transaction, parameters: _Parameters) -> _Rows:
    row = transaction.get(transaction.database.leases, parameters["experiment_id"])
    return [(row.turn,)] if _is_held(row, parameters) else []


@models("last_turn")
def last_turn(transaction: Transaction, parameters: _Parameters) -> _Rows:
    row = transaction.get(transaction.database.leases, parameters["experiment_id"])
    return [] if row is None else [(row.turn,)]


@models("unsettled_in")
def unsettled_in(transaction: Transaction, parameters: _Parameters) -> _Rows:
    table = transaction.database.unsettled
    return [(name,) for name in unpacked(parameters["experiment_ids"]) if transaction.group(table, name)]


@models("due_in")
def due_in(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database, found = transaction.database, []
    for name, window in columns(parameters, "experiment_ids", "windows"):
        before = database.now_us() - round((window + max(1, window / 100)) * 1_000_000)
        if any(row.bucket < before for row in transaction.group(database.open_buckets, name)):
            found.append((name,))
    return found
