"""Which rows of sums a process raises: rows of its own, and new ones every few seconds.

A row that is raised again and again leaves a dead version each time. Postgres cannot remove those while there is
an older snapshot (a dump, a replica that is being read), and raising or reading the row walks past all of them.
So a process goes on with new rows after a while. The lease-holder merges older ones into slot 0, and then reads only
slot 0 and the newer ones.
"""

from __future__ import annotations

from typing import Final

# Places of processes, which are the lowest that no living process has.
_PLACES: Final = 1_000
_PERIOD_MS: Final = 5_000
# A process learns the time by its heartbeats, and what it has begun takes a while.
_GRACE: Final = 2
MERGE_EVERY: Final = _PERIOD_MS / 1_000


def slot_at(place: int, now_ms: int) -> int:
    """Return the slot of the process at a place, by the ledger's time."""
    return now_ms // _PERIOD_MS * _PLACES + place


def oldest_in_use(now_ms: int) -> int:
    """Return the slot before which rows are merged. What comes later into one of those is merged later."""
    return slot_at(0, now_ms - _GRACE * _PERIOD_MS)
