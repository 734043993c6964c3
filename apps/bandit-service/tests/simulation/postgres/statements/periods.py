"""Versions of the weights that are over, and the periods they are folded into."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import jsonb
from ..parameters import as_us, columns, unpacked
from ..schema import WeightPeriod
from ..transaction import Steps, Transaction
from .inserting import REWARDED, counted_version, raise_row, square_micro
from .registry import models

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]


@models("lock_folds", writes=True)
def lock_folds(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    table, name = transaction.database.leases, parameters["experiment_id"]
    if not _is_held(transaction.get(table, name), parameters):
        return []
    yield None
    row = yield from transaction.lock(table, name, strongly=True)
    return [(row.folds,)] if _is_held(row, parameters) else []


def _is_held(row: Any, parameters: _Parameters) -> bool:
    return row is not None and row.holder == parameters["holder"] and row.token == parameters["token"]


@models("take_versions", writes=True)
def take_versions(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, name = transaction.database, parameters["experiment_id"]
    table, weights = database.arm_totals, transaction.get(database.weights, name)
    merged = [row for row in transaction.group(table, name) if row.slot == 0 and row.weights_version > 0]
    versions = sorted({row.weights_version for row in merged})[: parameters["most"]]
    before = 0 if weights is None else weights.version
    old = sorted(row[:6] for row in merged if row.weights_version in versions and row.weights_version < before)
    yield None
    found, sums = [], dict[tuple[Any, ...], list[int]]()
    for key in old:
        row = yield from transaction.lock(table, key, strongly=True)
        if row is not None:
            there = sums.setdefault((*key[:4], -1, 0), [0, 0, 0, 0])
            sums[*key[:4], -1, 0] = [old + new for old, new in zip(there, row[6:], strict=True)]
            found.append((*row[1:5], *row[6:]))
            transaction.write(table, key, None)
    for key, each in sorted(sums.items()):
        yield from raise_row(transaction, key, each)
    return found


@models("version_weights")
def version_weights(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database, found = transaction.database, []
    for name, version in columns(parameters, "experiment_ids", "versions"):
        allocations = sorted(transaction.group(database.allocations, name), key=lambda row: row.weights_version)
        [*known] = (row for row in allocations if row.weights_version == version)
        later = [_seconds(row.published_at) for row in allocations if row.weights_version > version]
        ends = later[0] if later else None
        begins = _seconds(known[0].published_at) if known else ends
        weights = jsonb.parsed(known[0].weights) if known else {}
        arms = sorted(
            (row.arm_index, float(weights[row.arm]))
            for row in transaction.rows(database.experiment_arms)
            if row.experiment_id == name and row.arm in weights
        )
        pair: list[Any] = [list(each) for each in zip(*arms, strict=True)] or [None, None]
        found.append((name, version, begins, ends, known[0].holdout if known else None, *pair))
    return found


def _seconds(us: int) -> float:
    return us / 1_000_000


@models("weight_periods")
def weight_periods(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database, found = transaction.database, []
    for name in sorted(unpacked(parameters["experiment_ids"])):
        lease = transaction.get(database.leases, name)
        head = name, 0 if lease is None else lease.folds
        found += [
            (*head, row.first_version, row.last_version, *map(_seconds, row[3:5]), jsonb.canonical(row.sums))
            for row in sorted(transaction.group(database.weight_periods, name))
        ] or [(*head, *(None,) * 5)]
    return found


@models("save_periods", writes=True)
def save_periods(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    database, name = transaction.database, parameters["experiment_id"]
    yield None
    for version in unpacked(parameters["merged"]):
        if (yield from transaction.lock(database.weight_periods, (name, version), strongly=True)) is not None:
            transaction.write(database.weight_periods, (name, version), None)
    for first, last, begins, ends, sums in columns(
        parameters, "first_version", "last_version", "begins", "ends", "sums"
    ):
        times = round(begins * 1_000_000), round(ends * 1_000_000)
        row = WeightPeriod(name, first, last, *times, jsonb.written(jsonb.parsed(sums)))
        yield from transaction.upsert(database.weight_periods, (name, first), row, partial(_replaced, row))
        yield from transaction.refer(database.experiments, name)
    lease = yield from transaction.lock(database.leases, name)
    if lease is None:
        return []
    folds = max(lease.folds + 1, database.timeline_base())
    transaction.write(database.leases, name, lease._replace(folds=folds))
    return [(folds,)]


def _replaced(new: WeightPeriod, _: WeightPeriod) -> WeightPeriod:
    return new


@models("compare_periods")
def compare_periods(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database, since = transaction.database, as_us(parameters["since"])
    sums: dict[tuple[Any, ...], list[int]] = {}

    def add(key: tuple[Any, ...], more: list[int]) -> None:
        there = sums.setdefault(key, [0, 0, 0])
        sums[key] = [old + new for old, new in zip(there, more, strict=True)]

    for row in transaction.rows(database.arm_totals):
        key = row.experiment_id, row.weights_version, row.arm_index, row.stratum
        add(key, [-row.rewards, -row.reward_micro, -row.square_micro])
    for row in transaction.rows(database.bandit_events):
        if row.counted and row.kind in REWARDED and row.decision_time >= since:
            micro = row.reward_micro or 0
            add((row.experiment_id, counted_version(row), row.arm_index, row.stratum), [1, micro, square_micro(micro)])
    found: _Rows = [
        (*key, *each, None)
        for key, each in sums.items()
        if any(each) and key[1] > 0 and key[3] in ("bandit", "holdout")
    ]
    periods = transaction.rows(database.weight_periods)
    return found + [(row.experiment_id, row.first_version, *(None,) * 5, jsonb.canonical(row.sums)) for row in periods]
