"""Say what is wrong at the end of a schedule. Nothing here imports the product."""

from __future__ import annotations

from .answers import check_answers
from .found import Found, Health
from .health import check_health
from .sums import check_sums

__all__ = ["Found", "Health", "check"]


def check(found: Found) -> list[str]:
    """Return what is wrong, each as a sentence that begins with what kind of wrong it is."""
    return [*found.notes, *check_answers(found), *check_sums(found), *check_health(found)]
