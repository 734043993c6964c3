"""Erasing units, and waiting for transactions that may bring them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg import sql

from bandit_service.ledger.maintenance import DEFAULT, DEFAULT_PARTITION
from bandit_service.ledger.pool import statement

from .. import jsonb
from ..database import ONLY_ROW
from ..parameters import as_us, unpacked
from ..schema import ErasedUnit
from ..transaction import Steps, Transaction
from .registry import models, models_text

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]

# Partitions are not modelled: every event is in the default one.
_ERASE_EVENTS: Final = sql.SQL(statement("erase_events")).format(events=DEFAULT).as_string(None)


@models("insert_tombstones", writes=True)
def insert_tombstones(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    table, found, now = transaction.database.erased_units, [], transaction.began_us
    for unit_hash in sorted(set(unpacked(parameters["hashes"]))):
        row = ErasedUnit(unit_hash, now)
        yield from transaction.upsert(table, unit_hash, row, lambda there: there._replace(erased_at=now))
        found.append((str(transaction.xid),))
    return found


@models_text(_ERASE_EVENTS, writes=True)
def erase_events(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    table = transaction.database.bandit_events
    experiment_ids, hashes = set(parameters["experiment_ids"]), set(parameters["hashes"])
    keys = [
        (row.experiment_id, row.decision_id, row.kind, row.position, row.part, row.decision_time)
        for row in transaction.rows(table)
        if row.unit_hash in hashes and row.experiment_id in experiment_ids
    ]
    yield None
    erased = 0
    for key in keys:
        row = yield from transaction.lock(table, key)
        if row is not None and row.unit_hash in hashes:
            transaction.write(table, key, row._replace(unit_hash=None, context=None))
            erased += 1
    return erased


@models("erase_exposures", writes=True)
def erase_exposures(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database = transaction.database
    experiment_ids, hashes = set(parameters["experiment_ids"]), set(parameters["hashes"])
    keys = [
        (row.experiment_id, row.unit_hash)
        for row in transaction.rows(database.exposures)
        if row.unit_hash in hashes and row.experiment_id in experiment_ids
    ]
    yield None
    erased = 0
    for key in keys:
        row = yield from transaction.lock(database.exposures, key, strongly=True)
        if row is None:
            continue
        transaction.write(database.exposures, key, None)
        nobody = transaction.session.server.rng.randbytes(16)
        yield from transaction.insert_new(
            database.exposures, (row.experiment_id, nobody), row._replace(unit_hash=nobody)
        )
        erased += 1
    return erased


@models("erase_refused", writes=True)
def erase_refused(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    table = transaction.database.refused_events
    experiment_ids, names = set(parameters["experiment_ids"]), set(parameters["names"])
    found = [row.id for row in transaction.rows(table) if row.experiment_id in experiment_ids]
    erased = 0
    for number in found:
        event = jsonb.parsed(transaction.get(table, number).event)
        if not isinstance(event, dict) or event.get("unit_hash") not in names:
            continue
        row = yield from transaction.lock(table, number)
        changed = jsonb.written(event | {"unit_hash": None, "context": None})
        transaction.write(table, number, row._replace(event=changed))
        erased += 1
    return erased


@models("partitions")
def partitions(transaction: Transaction, _: _Parameters) -> _Rows:  # noqa: ARG001
    return [(DEFAULT_PARTITION,)]


@models_text("SELECT to_regclass(%s) IS NULL", "table")
def is_table_gone(transaction: Transaction, parameters: _Parameters) -> _Rows:  # noqa: ARG001
    return [(parameters["table"] != DEFAULT_PARTITION,)]


@models_text("SELECT pg_advisory_xact_lock(%s)", "number")
def wait_for_turn(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    yield from transaction.take(transaction.database.advisory_locks, parameters["number"])
    return [("",)]


@models("older_transactions")
def older_transactions(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database, number = transaction.database, int(parameters["id"])
    for other in list(database.running):
        if other is not transaction:
            other.session.end_if_expired()
    reads = any(
        other is not transaction and other.snapshot_xmin is not None and other.snapshot_xmin <= number
        for other in database.running
    )
    return [(database.oldest_xid() <= number, reads)]


@models_text("SELECT pg_current_xact_id()::text")
def current_xact_id(transaction: Transaction, _: _Parameters) -> _Rows:
    return [(str(transaction.take_xid()),)]


@models("raise_kept_from", writes=True)
def raise_kept_from(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    table, before = transaction.database.kept_from, as_us(parameters["before"])
    row = yield from transaction.lock(table, ONLY_ROW)
    transaction.write(table, ONLY_ROW, row._replace(oldest=max(row.oldest, before)))
    return [(str(transaction.xid),)]
