"""How many days are left on the disk of Postgres. Pure arithmetic; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bandit_service.ledger.maintenance import DEFAULT_PARTITION
from bandit_service.ledger.partitions import Day
from bandit_service.operations.findings import Finding, Status

_GIB: Final = 2**30
# The days whose mean is the growth of a day: a whole week, since weekends are quieter.
_OBSERVED: Final = 7
_WARNING, _FAILURE = 14, 3


@dataclass(frozen=True, slots=True)
class Growth:
    """How bandit_events grows: bytes a day (None: no day is over), days that are kept, and days that are there."""

    a_day: float | None
    keep_days: int
    days: int

    @property
    def to_come(self) -> float | None:
        """Return the bytes until as many days are there as are kept, and one that goes; None without end."""
        if self.a_day is None or self.keep_days == 0:
            return None
        return self.a_day * (max(0, self.keep_days - self.days) + 1)


def growth(sizes: Mapping[str, int], today: Day, keep_days: int) -> Growth:
    """Return the growth from the sizes of partitions by name."""
    whole = [sizes[name] for name in sorted(sizes) if name < today.partition and name != DEFAULT_PARTITION]
    used = [size for size in whole[-_OBSERVED:] if size]
    return Growth(sum(used) / len(used) if used else None, keep_days, len(whole))


def judge_disk(growth: Growth, free: int | None) -> Finding:
    """Say how many days are left, `free` bytes being left on the disk; None: that cannot be seen."""
    if growth.a_day is None:
        return Finding("disk", "ok", "there is no whole day yet from which to tell how the events grow")
    grows = f"events grow by {growth.a_day / _GIB:.1f} GiB a day"
    if free is None:
        what = f"{grows}; what is free where Postgres keeps its data cannot be seen from here"
        return Finding("disk", "ok", what, "give the size of its disk: --disk-size")
    if growth.to_come is not None and growth.to_come <= free:
        level = (growth.to_come + growth.a_day * growth.days) / _GIB
        what = f"{grows}, up to {level:.0f} GiB at {growth.keep_days} days kept; {free / _GIB:.0f} GiB are free"
        return Finding("disk", "ok", what)
    days = free / growth.a_day
    what = f"{grows}, and {free / _GIB:.0f} GiB are free: {days:.0f} days are left"
    status: Status = "fail" if days < _FAILURE else "warn" if days < _WARNING or growth.to_come is not None else "ok"
    return Finding(
        "disk",
        status,
        what,
        "" if status == "ok" else "keep events for less (BANDIT_KEEP_EVENTS_DAYS), or give it a larger disk",
    )
