"""Weights in force, their history, and the state of linear models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import jsonb
from ..parameters import columns, ms
from ..schema import AllocationRow, Checkpoint, LeaseRow, WeightsRow
from ..transaction import Steps, Transaction
from .registry import models

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]


@models("publish_weights", writes=True)
def publish_weights(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database = transaction.database
    columns_ = ("experiment_id", "holder", "token", "record", "explanation", "summary", "assessment", "holdout")
    given = sorted(
        row for row in columns(parameters, *columns_) if _is_held(transaction.get(database.leases, row[0]), row)
    )
    yield None
    held = []
    for row in given:
        lease = yield from transaction.lock(database.leases, row[0], strongly=True)
        if _is_held(lease, row):
            held.append(row)
    found = []
    for name, _, _, record, explanation, summary, assessment, holdout in held:
        texts = jsonb.checked(record), jsonb.checked(explanation), summary, jsonb.checked(assessment)
        version = yield from _put_into_force(transaction, name, *texts, holdout)
        found.append((name, version))
    return found


def _put_into_force(
    transaction: Transaction, name: str, text: str, explanation: str, summary: str, assessment: str, holdout: float
) -> Steps[int]:
    database, record = transaction.database, jsonb.parsed(text)
    at, least = database.now_us(), database.timeline_base() + 1

    def new(version: int) -> WeightsRow:
        return WeightsRow(
            name, version, at, jsonb.written(record | {"version": version}), explanation, summary, assessment
        )

    row = yield from transaction.upsert(
        database.weights, name, new(least), lambda there: new(max(there.version + 1, least))
    )
    allocation = AllocationRow(
        name,
        row.version,
        at,
        int(record["revision"]),
        jsonb.written(record.get("weights")),
        jsonb.written(record.get("prob_best")),
        jsonb.written(record.get("expected_loss")),
        explanation,
        summary,
        holdout,
    )
    yield from transaction.insert_new(database.allocations, (name, row.version), allocation)
    yield from transaction.refer(database.experiments, name)
    return int(row.version)


def _is_held(lease: LeaseRow | None, given: tuple[Any, ...]) -> bool:
    return lease is not None and (lease.holder, lease.token) == given[1:3]


@models("weights_with_explanation")
def weights_with_explanation(transaction: Transaction, parameters: _Parameters) -> _Rows:
    rows = [transaction.get(transaction.database.weights, name) for name in parameters["experiment_ids"]]
    return [(row.experiment_id, jsonb.canonical(row.record), json.loads(row.explanation)) for row in rows if row]


@models("linear_checkpoint")
def linear_checkpoint(transaction: Transaction, parameters: _Parameters) -> _Rows:
    row = transaction.get(transaction.database.linear_checkpoints, parameters["experiment_id"])
    return [] if row is None else [(row.turn, row.state)]


@models("save_linear_checkpoint", writes=True)
def save_linear_checkpoint(transaction: Transaction, parameters: _Parameters) -> Steps[int]:
    database, name = transaction.database, parameters["experiment_id"]
    new = Checkpoint(name, parameters["turn"], database.now_us(), bytes(parameters["state"]))

    def merged(there: Checkpoint) -> Checkpoint | None:
        return new if there.turn < new.turn else None

    row = yield from transaction.upsert(database.linear_checkpoints, name, new, merged)
    yield from transaction.refer(database.experiments, name)
    return int(row is not None)


@models("linear_outcomes")
def linear_outcomes(transaction: Transaction, parameters: _Parameters) -> _Rows:
    table, experiment_id = transaction.database.bandit_events, parameters["experiment_id"]
    outcomes = sorted(
        (
            row
            for row in transaction.rows(table)
            if row.experiment_id == experiment_id
            and row.kind == "outcome"
            and row.stratum in ("bandit", "direct")
            and parameters["after"] < row.batch <= parameters["until"]
        ),
        key=lambda row: (row.batch, row.ord),
    )
    found = []
    for row in outcomes:
        kind = "reward" if row.stratum == "direct" else "decision"
        source = transaction.get(table, (experiment_id, row.decision_id, kind, 0, "", row.decision_time))
        if source is not None and source.context is not None:
            found.append((row.arm_index, row.reward_micro, ms(row.event_time), source.context))
    return found
