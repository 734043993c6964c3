"""Write what processes left in their streams when they ended."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from bandit_service.domain.event import Batch, Row
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.writer import LedgerWriter
from bandit_service.spool.stream import Streams
from bandit_service.spool.writing import MOST_ROWS, Writing

log = structlog.get_logger(__name__)


class Pickup:
    """Takes over the streams of processes that have stopped sending heartbeats.

    The order makes it safe against a process that was only frozen: it is marked dead if its heartbeat has not changed,
    its stream is renamed, so that it cannot append any more, and only then is the stream read.

    Args:
        writing: Writes, and keeps what was written here, in case of a failover.
        dead_after: Seconds without a heartbeat after which a process is taken for dead.
    """

    def __init__(
        self, *, streams: Streams, producers: Producers, writer: LedgerWriter, writing: Writing, dead_after: float
    ) -> None:
        self._streams = streams
        self._producers = producers
        self._writer = writer
        self._writing = writing
        self._dead_after = dead_after

    async def turn(self, own_name: str, *, judges_on: str | None, may_drain: Callable[[], bool]) -> None:
        """Look for ended processes once.

        Args:
            own_name: The process that looks.
            judges_on: The timeline on which it has reached Postgres for long enough to take others for dead; None if
                there is none.
            may_drain: Whether everything is in the ledger that a failover may have lost: what is drained before could
                be taken for the first of its key.

        Raises:
            SpoolUnavailableError, PostgresUnavailableError, OtherTimelineError: to be tried again.
        """
        names = set(await self._streams.names())
        producers = await self._producers.all()
        await self._enter_lost(names - {producer.name for producer in producers} - {own_name})
        for producer in producers:
            if producer.name == own_name:
                continue
            is_dead = producer.dead or (
                judges_on is not None
                and producer.silent_for >= self._dead_after
                and await self._producers.mark_dead(producer, judges_on)
            )
            if is_dead and may_drain():
                await self._take_over(producer.name, may_drain)

    async def _enter_lost(self, unknown: set[str]) -> None:
        """Enter processes into the ledger that have a stream and that a failover has lost."""
        # One that has left meanwhile has taken its name out of the spool first, and then out of the ledger.
        lost = unknown and unknown & set(await self._streams.names())
        if lost:
            log.warning("lost_processes", names=sorted(lost))
            await self._producers.enter_lost(sorted(lost))

    async def _take_over(self, name: str, may_drain: Callable[[], bool]) -> None:
        await self._streams.take(name)
        count = 0
        async for entries in self._streams.taken(name):
            unreadable = [entry for entry in entries if isinstance(entry, bytes)]
            await self._writer.refuse_unreadable(unreadable)
            # An append whose answer was not heard was repeated.
            rows = {row[:2]: row for batch in entries if isinstance(batch, Batch) for row in batch.rows}
            for rows_ in _portions(list(rows.values())):
                if not may_drain():
                    return
                await self._writing.write(rows_)
            count += len(rows)
        if await self._streams.forget_taken(name):
            await self._producers.remove(name)
            log.info("stream_taken_over", name=name, events=count)


def _portions(rows: list[Row]) -> list[list[Row]]:
    return [rows[start : start + MOST_ROWS] for start in range(0, len(rows), MOST_ROWS)]
