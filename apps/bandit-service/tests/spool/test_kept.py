"""Rows are kept for a minute after the ledger has reported them, and take little room meanwhile."""

from __future__ import annotations

import pytest

from bandit_service.domain.event import Row
from bandit_service.spool.kept import KeptRows

from .process import DECIDED, event

MANY = 2_500


def row(number: int) -> Row:
    return Row(number, 0, event(f"d{number}", event_ms=DECIDED))


@pytest.fixture
def kept() -> KeptRows:
    """One row every tenth of a second."""
    kept = KeptRows()
    for number in range(MANY):
        kept.add(number / 10, [row(number)], f"{number}-0")
    return kept


def test_all_rows_come_back_as_they_were(kept: KeptRows) -> None:
    assert list(kept) == [row(number) for number in range(MANY)]
    assert kept.count == MANY


def test_rows_are_forgotten_no_sooner_than_a_minute_after_they_were_reported(kept: KeptRows) -> None:
    assert kept.forget(60.0 + 99.8) is None
    assert kept.forget(60.0 + 99.9) == "999-0"
    assert (kept.count, next(iter(kept)).batch) == (MANY - 1_000, 1_000)
    assert kept.forget(60.0 + 200.0) == "2000-0"
    assert (kept.count, [each.batch for each in kept]) == (MANY - 2_001, list(range(2_001, MANY)))


def test_what_was_written_again_is_kept_for_another_minute(kept: KeptRows) -> None:
    kept.confirm_again(1_000.0)
    assert kept.forget(1_059.9) is None
    assert kept.forget(1_060.0) == f"{MANY - 1}-0"
    assert (kept.count, list(kept)) == (0, [])


def test_an_entry_is_named_although_later_rows_have_none() -> None:
    kept = KeptRows()
    kept.add(0.0, [row(number) for number in range(900)], "7-0")
    kept.add(0.0, [row(number) for number in range(900, 1_100)])
    assert kept.forget(60.0) == "7-0"
