"""What statements that insert events have in common: the events, and the totals that they raise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg import errors

from ..schema import EventRow, TotalsRow
from ..transaction import Steps, Transaction

_KINDS: Final = frozenset({"decision", "activation", "reward", "outcome", "late"})
_STRATA: Final = frozenset({"bandit", "holdout", "paused", "concluded", "direct"})
SHOWN: Final = ("decision", "activation")
REWARDED: Final = ("reward", "outcome")


def square_micro(micro: int) -> int:
    """Return the square of a number of millionths in millionths, rounded half up."""
    return (micro * micro + 500_000) // 1_000_000


def insert_events(transaction: Transaction, rows: Iterable[EventRow]) -> Steps[list[EventRow]]:
    """Insert events ON CONFLICT DO NOTHING; return those that were inserted.

    Raises:
        errors.CheckViolation: a kind or a stratum that there is none of.
    """
    events, inserted = transaction.database.bandit_events, []
    for row in rows:
        if row.kind not in _KINDS:
            raise _violates("kind")
        if row.stratum not in _STRATA:
            raise _violates("stratum")
        key = (row.experiment_id, row.decision_id, row.kind, row.position, row.part, row.decision_time)
        if (yield from transaction.insert(events, key, row)):
            inserted.append(row)
    return inserted


def _violates(column: str) -> errors.CheckViolation:
    return errors.CheckViolation(
        f'new row for relation "bandit_events_default" violates check constraint "bandit_events_{column}_check"'
    )


def counted_version(row: EventRow) -> int:
    """Return the version of the weights under which an event is counted."""
    return row.weights_version or 0 if row.vector is None else 0


def folded(rows: Iterable[EventRow]) -> dict[tuple[str, int, str, str, int], list[int]]:
    """Return decisions, rewards, their sum and that of their squares, by the key of arm_totals without the slot."""
    sums: dict[tuple[str, int, str, str, int], list[int]] = {}
    for row in rows:
        if not row.counted:
            continue
        key = (row.experiment_id, row.arm_index, row.stratum, row.segment or "", counted_version(row))
        found = sums.get(key)
        if found is None:
            found = sums[key] = [0, 0, 0, 0]
        if row.kind in SHOWN:
            found[0] += 1
        elif row.kind in REWARDED:
            found[1] += 1
            if row.reward_micro is not None:
                found[2] += row.reward_micro
                found[3] += square_micro(row.reward_micro)
    return sums


def raise_totals(transaction: Transaction, inserted: Iterable[EventRow], slot: int) -> Steps[None]:
    """Raise arm_totals by what was inserted."""
    for key, sums in sorted(folded(inserted).items()):
        yield from raise_row(transaction, (*key, slot), sums)


def raise_row(transaction: Transaction, key: tuple[Any, ...], sums: Sequence[int]) -> Steps[None]:
    """Raise a row of arm_totals, or insert it."""

    def merged(there: TotalsRow) -> TotalsRow:
        return TotalsRow(*there[:6], *(old + new for old, new in zip(there[6:], sums, strict=True)))

    yield from transaction.upsert(transaction.database.arm_totals, key, TotalsRow(*key, *sums), merged)
