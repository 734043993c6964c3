"""What events add up to, and what an operator sees of the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from ..jsonb import parsed
from ..parameters import as_us, columns, seconds_us, unpacked
from ..transaction import Steps, Transaction
from .inserting import folded, raise_row
from .registry import models, models_text

type _Parameters = Mapping[str, Any]
type _Rows = list[tuple[Any, ...]]

_MINUTE_US: Final = 60_000_000
_DAY_US: Final = 86_400_000_000


@models("totals")
def totals(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database = transaction.database
    as_of, found = database.now_us() / 1_000_000, []
    for name, floor in columns(parameters, "experiment_ids", "floors"):
        sums: dict[tuple[Any, ...], list[int]] = {}
        for row in transaction.group(database.arm_totals, name):
            if row.slot == 0 or row.slot >= max(floor, 1):
                _add(sums, row[1:5], row[6:])
        lease = transaction.get(database.leases, name)
        is_unsettled = True if transaction.group(database.unsettled, name) else None
        head = as_of, name, is_unsettled, 0 if lease is None else lease.folds
        found += [(*head, *key, *each) for key, each in sums.items()] or [(*head, *(None,) * 8)]
    return found


@models("totals_changed")
def totals_changed(transaction: Transaction, parameters: _Parameters) -> _Rows:
    found = []
    for name in dict.fromkeys(unpacked(parameters["experiment_ids"])):
        rows = transaction.group(transaction.database.arm_totals, name)
        if rows:
            found.append((name, sum(row.decisions for row in rows), sum(row.rewards for row in rows)))
    return found


@models("merge_totals", writes=True)
def merge_totals(transaction: Transaction, parameters: _Parameters) -> Steps[_Rows]:
    table, before = transaction.database.arm_totals, parameters["before"]
    old = sorted(
        row[:6]
        for name in dict.fromkeys(unpacked(parameters["experiment_ids"]))
        for row in transaction.group(table, name)
        if 0 < row.slot < before
    )
    yield None
    merged: dict[tuple[Any, ...], list[int]] = {}
    for key in old:
        row = yield from transaction.lock(table, key, strongly=True)
        if row is not None:
            _add(merged, key[:5], row[6:])
            transaction.write(table, key, None)
    for key, sums in sorted(merged.items()):
        yield from raise_row(transaction, (*key, 0), sums)
    return [(name,) for name in dict.fromkeys(key[0] for key in merged)]


@models("compare_totals")
def compare_totals(transaction: Transaction, parameters: _Parameters) -> _Rows:
    database, since = transaction.database, as_us(parameters["since"])
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in transaction.rows(database.arm_totals):
        _add(sums, row[:4], row[6:])
    events = (row for row in transaction.rows(database.bandit_events) if row.decision_time >= since)
    for key, found in folded(events).items():
        _add(sums, key[:4], [-each for each in found])
    return sorted((*key, *found) for key, found in sums.items() if any(found))


@models_text("SELECT max(day) FROM folded_days")
def folded_to(transaction: Transaction, _: _Parameters) -> _Rows:  # noqa: ARG001
    # Days are not folded here.
    return [(None,)]


@models("exposed_unit_counts")
def exposed_unit_counts(transaction: Transaction, parameters: _Parameters) -> _Rows:
    rows = transaction.rows(transaction.database.exposures)
    found = Counter(row.stratum for row in rows if row.experiment_id == parameters["experiment_id"])
    return [(found["bandit"], found["holdout"])]


@models("recent_selections")
def recent_selections(transaction: Transaction, parameters: _Parameters) -> _Rows:
    now, window = seconds_us(parameters["now"]), round(parameters["window"] * 1_000_000)
    found: dict[int, list[int]] = {}
    for row in transaction.rows(transaction.database.bandit_events):
        is_selection = row.kind == "decision" and row.stratum == "bandit" and row.decision_time > now - 2 * window
        if is_selection and row.experiment_id == parameters["experiment_id"]:
            found.setdefault(row.arm_index, [0, 0])[row.decision_time <= now - window] += 1
    return [(arm_index, *counts) for arm_index, counts in found.items()]


@models("waiting")
def waiting(transaction: Transaction, _: _Parameters) -> _Rows:
    database = transaction.database
    now, windows = database.now_us(), dict[str, float]()
    for row in transaction.rows(database.experiments):
        if row.status != "archived":
            windows[row.id] = float(parsed(row.definition)["reward_window"])
    noted = [row.recorded_at for row in transaction.rows(database.unsettled) if row.experiment_id in windows]
    due = [
        row.bucket + round((windows[row.experiment_id] * 1.01 + 60) * 1_000_000)
        for row in transaction.rows(database.open_buckets)
        if row.experiment_id in windows
    ]
    return [tuple((now - min(times)) / 1_000_000 if times else None for times in (noted, due))]


@models("dead_producers")
def dead_producers(transaction: Transaction, _: _Parameters) -> _Rows:
    now = transaction.database.now_us()
    return [
        (row.name, (now - row.drained_to) / 1_000_000)
        for row in sorted(transaction.rows(transaction.database.producers))
        if row.dead or row.heartbeat_at < now - _MINUTE_US
    ]


@models("refused_reasons")
def refused_reasons(transaction: Transaction, _: _Parameters) -> _Rows:
    since = transaction.database.now_us() - _DAY_US
    rows = transaction.rows(transaction.database.refused_events)
    return sorted(Counter(row.reason.partition(":")[0] for row in rows if row.recorded_at > since).items())


def _add(sums: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], more: Any) -> None:
    there = sums.get(key)
    sums[key] = list(more) if there is None else [old + new for old, new in zip(there, more, strict=True)]
