"""Weights in force, their history, and the state of linear models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import jsonb
from ..parameters import ms
from ..schema import AllocationRow, Checkpoint, WeightsRow
from ..transaction import Steps, Transaction
from .registry import models

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]


@models("publish_weights", writes=True)
def publish_weights(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, name = transaction.database, parameters["experiment_id"]
    there = transaction.get(database.weights, name)
    version = max(there.version if there is not None else 0, database.timeline_base()) + 1
    explanation = jsonb.checked(parameters["explanation"])
    assessment = jsonb.checked(parameters["assessment"])
    record = jsonb.parsed(jsonb.checked(parameters["record"]))
    yield None
    at = database.now_us()
    text = jsonb.written(record | {"version": version})
    row = WeightsRow(name, version, at, text, explanation, parameters["summary"], assessment)
    yield from transaction.upsert(database.weights, name, row, lambda _: row)
    allocation = AllocationRow(
        name,
        version,
        at,
        int(record["revision"]),
        jsonb.written(record.get("weights")),
        jsonb.written(record.get("prob_best")),
        jsonb.written(record.get("expected_loss")),
        explanation,
        row.summary,
    )
    yield from transaction.insert_new(database.allocations, (name, version), allocation)
    yield from transaction.refer(database.experiments, name)
    return [(version,)]


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
            found.append((row.arm_index, row.reward_micro, ms(row.event_time), jsonb.canonical(source.context)))
    return found
