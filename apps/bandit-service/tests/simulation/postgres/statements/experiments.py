"""Experiments, namespaces, API keys, and what processes hold in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import jsonb
from ..parameters import as_datetime, seconds_us
from ..schema import ApiKeyRow, ArmRow, ChangeRow, ExperimentRow, Namespace
from ..transaction import Steps, Transaction
from .registry import models, models_text

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]


@models("insert_namespace", writes=True)
def insert_namespace(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    row = Namespace(parameters["name"], bytes(parameters["unit_salt"]), transaction.began_us)
    return int((yield from transaction.insert(transaction.database.namespaces, row.name, row)))


@models("namespace_salt")
def namespace_salt(transaction: Transaction, parameters: _Parameters) -> _Rows:
    row = transaction.get(transaction.database.namespaces, parameters["name"])
    return [] if row is None else [(row.unit_salt.hex(),)]


@models_text("SELECT id FROM experiments WHERE namespace = %s ORDER BY id", "namespace")
def experiments_of(transaction: Transaction, parameters: _Parameters) -> _Rows:
    rows = transaction.rows(transaction.database.experiments)
    return sorted((row.id,) for row in rows if row.namespace == parameters["namespace"])


@models("insert_experiment", writes=True)
def insert_experiment(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database = transaction.database
    row = ExperimentRow(
        parameters["id"],
        parameters["namespace"],
        parameters["status"],
        parameters["revision"],
        parameters["winner"],
        jsonb.checked(parameters["definition"]),
        round(seconds_us(parameters["at"])),
        database.now_us(),
    )
    inserted = yield from transaction.insert(database.experiments, row.id, row)
    if inserted:
        yield from transaction.refer(database.namespaces, row.namespace)
    return int(inserted)


@models("put_arm", writes=True)
def put_arm(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database = transaction.database
    key = (parameters["experiment_id"], parameters["index"])
    micro = (parameters["prior_alpha_micro"], parameters["prior_beta_micro"])
    row = ArmRow(*key, parameters["id"], *micro, parameters["status"])
    written = yield from transaction.upsert(
        database.experiment_arms, key, row, lambda there: there._replace(status=row.status)
    )
    if written is row:
        yield from transaction.refer(database.experiments, key[0])
    return 1


@models("insert_change", writes=True)
def insert_change(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database, change = transaction.database, json.dumps(parameters["change"].obj)
    at = round(seconds_us(parameters["at"]))
    row = ChangeRow(
        parameters["experiment_id"], parameters["revision"], at, parameters["who"], parameters["why"], change
    )
    yield from transaction.insert_new(database.experiment_changes, row[:2], row)
    yield from transaction.refer(database.experiments, row.experiment_id)
    return 1


@models("experiment")
def experiment(transaction: Transaction, parameters: _Parameters) -> _Rows:
    row = transaction.get(transaction.database.experiments, parameters["id"])
    return [] if row is None else [(jsonb.canonical(row.definition),)]


@models("lock_experiment", writes=True)
def lock_experiment(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    table, name = transaction.database.experiments, parameters["id"]
    if transaction.get(table, name) is None:
        return []
    yield None
    row = yield from transaction.lock(table, name, strongly=True)
    return [] if row is None else [(jsonb.canonical(row.definition),)]


@models("update_experiment", writes=True)
def update_experiment(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database, name = transaction.database, parameters["id"]
    if transaction.get(database.experiments, name) is None:
        return 0
    row = yield from transaction.lock(database.experiments, name)
    if row is None:
        return 0
    changed = row._replace(
        status=parameters["status"],
        revision=parameters["revision"],
        winner=parameters["winner"],
        definition=jsonb.checked(parameters["definition"]),
        updated_at=database.now_us(),
    )
    transaction.write(database.experiments, name, changed)
    return 1


@models("experiment_changes", columns=("revision", "changed_at", "who", "why", "change"))
def experiment_changes(transaction: Transaction, parameters: _Parameters) -> _Rows:
    before = parameters["before"]
    rows = [
        row
        for row in transaction.rows(transaction.database.experiment_changes)
        if row.experiment_id == parameters["experiment_id"] and (before is None or row.revision < before)
    ]
    rows.sort(key=lambda row: -row.revision)
    return [
        (row.revision, as_datetime(row.changed_at), row.who, row.why, json.loads(row.change))
        for row in rows[: parameters["limit"]]
    ]


@models("experiment_revisions")
def experiment_revisions(transaction: Transaction, _: _Parameters) -> _Rows:
    return [(row.id, row.revision) for row in transaction.rows(transaction.database.experiments)]


@models("list_experiments")
def list_experiments(transaction: Transaction, parameters: _Parameters) -> _Rows:
    namespace, status, after = (parameters[name] for name in ("namespace", "status", "after"))
    rows = sorted(
        row
        for row in transaction.rows(transaction.database.experiments)
        if namespace in (None, row.namespace) and status in (None, row.status) and (after is None or row.id > after)
    )
    return [(jsonb.canonical(row.definition),) for row in rows[: parameters["limit"]]]


def _served(transaction: Transaction, row: ExperimentRow) -> tuple[str, str | None]:
    weights = transaction.get(transaction.database.weights, row.id)
    return jsonb.canonical(row.definition), None if weights is None else jsonb.canonical(weights.record)


@models("served")
def served(transaction: Transaction, parameters: _Parameters) -> _Rows:
    found = (transaction.get(transaction.database.experiments, name) for name in parameters["experiment_ids"])
    return [_served(transaction, row) for row in found if row is not None]


@models("served_page")
def served_page(transaction: Transaction, parameters: _Parameters) -> _Rows:
    rows = sorted(
        row
        for row in transaction.rows(transaction.database.experiments)
        if row.id > parameters["after"] and row.status != "archived"
    )
    return [_served(transaction, row) for row in rows[: parameters["limit"]]]


@models("served_changes")
def served_changes(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database, since = transaction.database, parameters["since"] * 1_000_000
    changed = []
    for row in transaction.rows(database.experiments):
        weights = transaction.get(database.weights, row.id)
        if row.updated_at >= since or (weights is not None and weights.published_at >= since):
            changed.append((row.id, row.revision, 0 if weights is None else weights.version))
    now, timeline = database.now_us() / 1_000_000, database.timeline()
    if not changed:
        return [(now, timeline, None, None, None)]
    names, revisions, versions = (list(column) for column in zip(*changed, strict=True))
    return [(now, timeline, names, revisions, versions)]


@models("active_api_keys")
def active_api_keys(transaction: Transaction, _: _Parameters) -> _Rows:
    return [row[:5] for row in transaction.rows(transaction.database.api_keys) if row.revoked_at is None]


@models("insert_api_key", writes=True)
def insert_api_key(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    key_id, digest = parameters["id"], bytes(parameters["digest"])
    named = (parameters["name"], parameters["role"], parameters["namespace"])
    row = ApiKeyRow(key_id, digest, *named, transaction.began_us, None)
    yield from transaction.insert_new(transaction.database.api_keys, key_id, row)
    return 1
