"""How much shorter things last in the simulation than in production, so that a schedule is short.

Only how long things last is changed, and not which of two things lasts longer.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from bandit_service import background
from bandit_service.allocation import merged_totals
from bandit_service.ledger import producers
from bandit_service.spool import backlog, keeper, kept, recorder

# Seconds. What stands behind is the production value.
KEPT: Final = 9.0  # 60
DEAD_AFTER: Final = 3.0  # 5
WINDOW: Final = 6.0  # 86,400
REDIS_TIMEOUT: Final = 0.5  # 0.5
PATIENCE: Final = 1.0  # 1
# A process that is away for so long is not taken for dead, although two of its next beats may go to sessions that a
# failover has left behind.
LONGEST_ISOLATION: Final = DEAD_AFTER / 2


_SHORTER: Final[tuple[tuple[ModuleType, str, float], ...]] = (
    (kept, "KEPT_SECONDS", KEPT),
    (background, "TICK_EVERY", 0.4),  # 0.05
    (background, "SECOND", 1.5),  # 1
    (background, "CHECK_EVERY", 3.0),  # 5
    (keeper, "BEAT_EVERY", 0.75),  # 0.5
    (keeper, "PICK_UP_EVERY", 1.5),  # 2
    (keeper, "_PROBE_EVERY", 0.3),  # 0.1
    (producers, "_BEAT_TIMEOUT", 1.0),  # 2
    (merged_totals, "FOLD_EVERY", 4.0),  # 60
    # So that a backlog is written by several statements, and what is kept is packed.
    (recorder, "MOST_ROWS", 10),  # 500
    (backlog, "MOST_ROWS", 10),  # 500
    (backlog, "_AT_ONCE", 6),  # 1,000
    (kept, "_AT_ONCE", 12),  # 1,000
)


def shorten() -> None:
    """Set what the product's modules wait for."""
    for module, name, value in _SHORTER:
        setattr(module, name, value)


def values() -> tuple[tuple[ModuleType, str, float], ...]:
    """Return what `shorten` changes as it is now."""
    return tuple((module, name, getattr(module, name)) for module, name, _ in _SHORTER)
