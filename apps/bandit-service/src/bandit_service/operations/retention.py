"""How long what is kept, and taking out what is older."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.partitions import Day, Partitions
from bandit_service.ledger.retention import Archive, RetentionStore, Retired, Table

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that rows are kept; None keeps them without an end. Whole days of events go at a time."""

    events: int | None = None
    allocations: int | None = None
    snapshots: int | None = None

    def __post_init__(self) -> None:
        for name in ("events", "allocations", "snapshots"):
            days = getattr(self, name)
            if days is not None and days < 1:
                raise ValueError(f"{name} must be kept for at least one day")


async def retire(
    retention: Retention, partitions: Partitions, store: RetentionStore, archive: Archive | None, now: datetime
) -> AsyncIterator[Retired]:
    """Export and take out what is too old, and say of each table or day what became of it.

    Days go one after another: the first that is still needed keeps those after it. Without an archive nothing is
    exported.

    Raises:
        PostgresUnavailableError: what was not yet yielded is still there.
        OSError: the archive cannot be written; nothing of that table or day is gone.
    """
    if retention.events is not None:
        async for done in _retire_events(now - timedelta(days=retention.events), partitions, store, archive, now):
            yield done
    tables: tuple[tuple[Table, int | None], ...] = (
        ("refused_events", retention.events),
        ("allocations", retention.allocations),
        ("posterior_snapshots", retention.snapshots),
    )
    for table, days in tables:
        if days is not None:
            yield await store.table(table, now - timedelta(days=days), archive, now)


async def _retire_events(
    oldest: datetime, partitions: Partitions, store: RetentionStore, archive: Archive | None, now: datetime
) -> AsyncIterator[Retired]:
    before, rows = Day.of(oldest).start, 0
    for day in await partitions.days():
        if day.end > before:
            break
        done = await store.day(day, archive, now)
        yield done
        rows += done.rows
        if done.needed:
            before = day.start
            break
    rest = await store.default(before, archive, now)
    yield rest
    if rows + rest.rows:
        await store.own_ids()
    await store.tombstones(now)


class RetentionKeeper:
    """Drops old events as a step of a running service, in any number of processes at once.

    Args:
        partitions: The days there are.
        store: Takes days out.
        agreement: Keeps the sums of days that are over, so that comparing totals with events stays cheap.
        days: That events are kept; 0 without an end.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        partitions: Partitions,
        store: RetentionStore,
        agreement: Agreement,
        *,
        days: int,
        clock: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._store = store
        self._agreement = agreement
        self._retention = Retention(events=days or None)
        self._clock = clock

    async def keep(self) -> None:
        """Drop what is too old, without a copy of it, and keep the sums of days that are over.

        Raises:
            PostgresUnavailableError: Postgres is away, or a lock was not to be had: try again later.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        async for done in retire(self._retention, self._partitions, self._store, None, now):
            if done.needed:
                log.warning("events_still_needed", partition=done.name, reasons=dict(done.needed))
            elif done.rows:
                log.info("events_dropped", partition=done.name, rows=done.rows)
        await self._fold(now)

    async def _fold(self, now: datetime) -> None:
        newest = await self._agreement.folded()
        for day in await self._partitions.days():
            if newest is not None and day <= newest:
                continue
            if not await self._store.is_over(day, now):
                return
            await self._agreement.fold(day, newest)
            newest = day
