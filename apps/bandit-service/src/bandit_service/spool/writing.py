"""Write rows to the ledger, and keep what it reports until a failover cannot lose it any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import structlog

from bandit_service.domain.event import Event, Row
from bandit_service.ledger.writer import WRITE_TIMEOUT, First, LedgerWriter, OtherTimelineError
from bandit_service.spool.answers import Answer, Claimed, Duplicate, Inserted, Refused
from bandit_service.spool.kept import KeptRows

log = structlog.get_logger(__name__)

# So that a statement takes milliseconds.
MOST_ROWS = 500


class Writing:
    """Writes on one timeline of Postgres.

    What it keeps is what may be written again after a failover: rows that this process has inserted, whether or not it
    has heard that the first time, and rows that count in place of what it has answered or acknowledged.

    Args:
        writer: Of the ledger.
        monotonic: A clock in seconds that never goes back.
        on_written: Hears which experiments were written.
    """

    def __init__(
        self, writer: LedgerWriter, *, monotonic: Callable[[], float], on_written: Callable[[set[str]], None]
    ) -> None:
        self._writer = writer
        self._monotonic = monotonic
        self._on_written = on_written
        self.timeline = ""
        self.kept = KeptRows()

    async def write(
        self,
        rows: Sequence[Row],
        *,
        seconds: float = WRITE_TIMEOUT,
        entry: str | None = None,
        is_answered: bool = False,
    ) -> list[Answer]:
        """Write rows, and return what became of each.

        Args:
            rows: No two of them the same attempt.
            seconds: How long a statement may take.
            entry: The last entry of the spool that holds one of them.
            is_answered: Somebody is told what became of them. Otherwise they were acknowledged before: a decision that
                turns out to have lost its own id is kept apart.

        Raises:
            OtherTimelineError: Postgres has failed over, or the process has gone on to another timeline meanwhile.
            PostgresUnavailableError: it does not answer. Either way what became of the rows is unknown.
        """
        timeline = self.timeline
        written = await self._writer.write(rows, timeline, timeout=seconds)
        others = [place for place in range(len(rows)) if place not in written.inserted and place not in written.refused]
        firsts: list[First | None] = []
        if others:
            events = [rows[place].event for place in others]
            firsts = await self._firsts(events, timeline, seconds)
        if timeline != self.timeline:
            raise OtherTimelineError(self.timeline)
        keep = [row for place, row in enumerate(rows) if place in written.inserted]
        answers: list[Answer] = [Inserted() for _ in rows]
        for place, reason in written.refused.items():
            answers[place] = Refused(reason)
        lost = []
        for place, first in zip(others, firsts, strict=True):
            row, answer = rows[place], _answer(rows[place], first)
            answers[place] = answer
            if first is not None and isinstance(answer, Inserted):
                keep.append(row)
            elif first is not None:
                # What is acknowledged must hold after a failover too, and whoever inserted this event may not keep it.
                keep.append(first.row)
            if not is_answered and isinstance(answer, Claimed) and not _is_same(row, answer):
                lost.append(row.event)
        self.kept.add(self._monotonic(), keep, entry)
        touched = {row.event.experiment_id for row in keep if row.event.counted or row.event.settles}
        if touched:
            self._on_written(touched)
        if lost:
            await self._writer.refuse(lost, "the id belongs to another decision")
        return answers

    async def _firsts(self, events: Sequence[Event], timeline: str, seconds: float) -> list[First | None]:
        """Return the events that have the keys of events that met one."""
        firsts = await self._writer.first(events, timeline, timeout=seconds)
        if None in firsts:
            # The key was met, so the event is there. A statement that was planned before rows moved to a new partition
            # may miss it.
            firsts = await self._writer.first(events, timeline, timeout=seconds)
        return firsts

    async def first(self, event: Event) -> Duplicate | None:
        """Return the event that has the key of this one, as what this one would be; None if there is none.

        Raises:
            PostgresUnavailableError, OtherTimelineError: nobody can say now.
        """
        timeline = self.timeline
        [found] = await self._writer.first([event], timeline)
        if timeline != self.timeline:
            raise OtherTimelineError(self.timeline)
        if found is None:
            return None
        if not found.filled:
            self.kept.add(self._monotonic(), [found.row])
        return Duplicate(found.row.event.reward_micro, found.filled)

    async def write_again(self, timeline: str) -> None:
        """Go on on Postgres's new timeline: write what is kept into the ledger there.

        Raises:
            PostgresUnavailableError, OtherTimelineError: to be tried again.
        """
        # From here on a result of the former timeline is unknown, however late it is read.
        self.timeline = timeline
        rows = list({row[:2]: row for row in self.kept}.values())
        for start in range(0, len(rows), MOST_ROWS):
            await self._writer.write(rows[start : start + MOST_ROWS], timeline)
        self.kept.confirm_again(self._monotonic())
        log.warning("failover", timeline=timeline, rows_written_again=len(rows))
        self._on_written({row.event.experiment_id for row in rows})


def _answer(row: Row, first: First | None) -> Answer:
    """Return what became of a row that was not inserted now."""
    if first is None:
        return Refused("the event could not be stored")
    if first.row[:2] == row[:2]:
        # A retry of an insert whose first result was not heard.
        return Inserted()
    event = first.row.event
    if event.claim is not None and event.kind == "decision":
        return Claimed(event.decision_ms, event.claim)
    return Duplicate(event.reward_micro, first.filled)


def _is_same(row: Row, claimed: Claimed) -> bool:
    """Whether a decision is the one that has its own id, which another process has recorded."""
    return row.event.decision_ms == claimed.decision_ms and msgspec.json.decode(
        row.event.claim or "null"
    ) == msgspec.json.decode(claimed.claim)
