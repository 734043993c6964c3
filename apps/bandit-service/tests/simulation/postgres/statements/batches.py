"""The batch statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ..database import ONLY_ROW
from ..jsonb import checked, checked_json
from ..parameters import columns
from ..schema import EventRow, Exposure, OpenBucket, OwnId, Unsettled
from ..transaction import Steps, Transaction
from .inserting import insert_events, raise_totals
from .registry import models


class _Given(NamedTuple):
    """A row of the parameters."""

    experiment_id: str
    decision_id: str
    kind: str
    decision_time: int
    event_time: int
    arm_index: int
    stratum: str
    counted: bool
    position: int
    part: str
    deferred: bool
    propensity: float | None
    weights_version: int | None
    revision: int | None
    reward_micro: int | None
    unit_hash: bytes | None
    vector: str | None
    segment: str | None
    slate_propensity: float | None
    context: str | None
    settles: bool
    bucket: int | None
    claim: str | None
    batch: int
    ord: int
    place: int


# For the column `filled`: the closing of a window supplied none of these.
_GIVEN: Final = False
_EXPOSING: Final = ("bandit", "holdout")


@models("insert_batch", writes=True)
def insert_batch(transaction: Transaction, parameters: Mapping[str, Any]) -> Steps[list[tuple[Any, ...]]]:
    database = transaction.database
    timeline, slot = database.timeline(), parameters["slot"]
    oldest = transaction.get(database.kept_from, ONLY_ROW).oldest
    rows = [_Given._make(row) for row in columns(parameters, *_Given._fields)]
    if timeline != parameters["timeline"]:
        rows = []
    given = [row for row in rows if row.decision_time >= oldest]
    erased = {row.place for row in given if row.unit_hash and transaction.get(database.erased_units, row.unit_hash)}
    yield None
    won = yield from _claim(transaction, given)
    events = [
        _event(transaction, row, is_erased=row.place in erased)
        for row in sorted(given, key=_order)
        if row.claim is None or (row.experiment_id, row.decision_id, row.decision_time) in won
    ]
    inserted = yield from insert_events(transaction, events)
    yield from _expose(transaction, inserted)
    yield from raise_totals(transaction, inserted, slot)
    yield from _note_unsettled(transaction, inserted)
    yield from _open_buckets(transaction, inserted, slot)
    batches, ords = [row.batch for row in inserted], [row.ord for row in inserted]
    return [(timeline, batches or None, ords or None, [row.place for row in given])]


def _order(row: _Given) -> tuple[Any, ...]:
    return row.experiment_id, row.decision_id, row.kind, row.position, row.part, row.place


def _claim(transaction: Transaction, given: list[_Given]) -> Steps[set[tuple[str, str, int]]]:
    """Claim own ids; return which were claimed now."""
    won = set()
    claims = [row for row in given if row.claim is not None]
    for row in sorted(claims, key=lambda row: (row.experiment_id, row.decision_id, row.place)):
        key = (row.experiment_id, row.decision_id)
        claim = OwnId(*key, row.decision_time, checked(row.claim or ""))
        if (yield from transaction.insert(transaction.database.own_ids, key, claim)):
            won.add((*key, row.decision_time))
    return won


def _event(transaction: Transaction, row: _Given, *, is_erased: bool) -> EventRow:
    return EventRow(
        row.experiment_id,
        row.decision_id,
        row.kind,
        row.position,
        row.part,
        row.decision_time,
        row.event_time,
        transaction.began_us,
        row.batch,
        row.ord,
        row.arm_index,
        row.stratum,
        row.counted,
        row.deferred,
        _GIVEN,
        row.propensity,
        row.weights_version,
        row.revision,
        row.reward_micro,
        None if is_erased else row.unit_hash,
        row.vector,
        row.segment,
        row.slate_propensity,
        None if is_erased or row.context is None else checked_json(row.context),
        row.settles,
        row.bucket,
    )


def _expose(transaction: Transaction, inserted: list[EventRow]) -> Steps[None]:
    first: dict[tuple[str, bytes], Exposure] = {}
    for row in inserted:
        if row.kind != "decision" or row.unit_hash is None or row.deferred or row.stratum not in _EXPOSING:
            continue
        exposure = Exposure(row.experiment_id, row.unit_hash, row.decision_id, row.decision_time, row.stratum)
        known = first.setdefault(exposure[:2], exposure)
        if (row.decision_time, row.decision_id) < (known.decision_time, known.decision_id):
            first[exposure[:2]] = exposure
    for key in sorted(first):
        yield from transaction.insert(transaction.database.exposures, key, first[key])


def _note_unsettled(transaction: Transaction, inserted: list[EventRow]) -> Steps[None]:
    table, notes = transaction.database.unsettled, dict[str, dict[tuple[str, int], None]]()
    for row in inserted:
        if row.settles:
            notes.setdefault(row.experiment_id, {})[row.decision_id, row.decision_time] = None
    for experiment_id, decisions in sorted(notes.items()):
        key = (experiment_id, transaction.database.next_id("unsettled"))
        ids, times = zip(*sorted(decisions), strict=True)
        yield from transaction.insert_new(table, key, Unsettled(*key, ids, times, transaction.began_us))


def _open_buckets(transaction: Transaction, inserted: list[EventRow], slot: int) -> Steps[None]:
    counts: dict[tuple[str, int], int] = {}
    for row in inserted:
        if row.bucket is not None:
            key = (row.experiment_id, row.bucket)
            counts[key] = counts.get(key, 0) + 1
    for key, events in sorted(counts.items()):

        def merged(there: OpenBucket, more: int = events) -> OpenBucket:
            return there._replace(events=there.events + more)

        # A slot of its own for each process and minute.
        row_key = (*key, slot // 12_000 * 1_000 + slot % 1_000)
        yield from transaction.upsert(transaction.database.open_buckets, row_key, OpenBucket(*row_key, events), merged)
