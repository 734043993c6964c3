"""The time limits that a transaction begins with."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

_BEGIN: Final = re.compile(
    rb"BEGIN; SET LOCAL statement_timeout = (\d+); SET LOCAL idle_in_transaction_session_timeout = (\d+)"
)


class Limits(NamedTuple):
    """Seconds that a statement may take, and that a transaction may be idle."""

    statement: float
    idle: float


@cache
def limits_of(begin: bytes) -> Limits | None:
    """Return the limits that a transaction is begun with; None if that is another statement."""
    found = _BEGIN.fullmatch(begin)
    return None if found is None else Limits(int(found[1]) / 1_000, int(found[2]) / 1_000)
