"""How long what is kept, and taking out what is older."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bandit_service.ledger.partitions import Partitions
from bandit_service.ledger.retention import Archive, RetentionStore, Retired, Table


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that rows are kept; None keeps them for ever. Whole months of events go at a time."""

    events: int | None = None
    allocations: int | None = None
    snapshots: int | None = None

    def __post_init__(self) -> None:
        for name in ("events", "allocations", "snapshots"):
            days = getattr(self, name)
            if days is not None and days < 1:
                raise ValueError(f"{name} must be kept for at least one day")


async def retire(
    retention: Retention, partitions: Partitions, store: RetentionStore, archive: Archive, now: datetime
) -> AsyncIterator[Retired]:
    """Export and take out what is too old, and say of each table or month what became of it.

    Raises:
        PostgresUnavailableError: what was not yet yielded is still there.
        OSError: the archive cannot be written; nothing of that table or month is gone.
    """
    if retention.events is not None:
        before = now - timedelta(days=retention.events)
        for month in await partitions.months():
            if month.end <= before:
                yield await store.month(month, archive, now)
        yield await store.default(before, archive, now)
    tables: tuple[tuple[Table, int | None], ...] = (
        ("allocations", retention.allocations),
        ("posterior_snapshots", retention.snapshots),
    )
    for table, days in tables:
        if days is not None:
            yield await store.table(table, now - timedelta(days=days), archive, now)
