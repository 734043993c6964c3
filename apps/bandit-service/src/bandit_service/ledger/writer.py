"""Write batches of events: each event once, the totals raised by exactly what was inserted."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import psycopg
from msgspec.structs import replace
from psycopg import AsyncConnection

from bandit_service.domain.event import Event, Row
from bandit_service.ledger.arrays import (
    BIGINT,
    BOOL,
    FLOAT,
    HEX_BYTEA,
    INT,
    MILLISECONDS,
    SMALLINT,
    TEXT,
    Columns,
    Packed,
    packed,
)
from bandit_service.ledger.pool import Pool, connected, in_one_trip, numbered_statement, statement

WRITE_TIMEOUT: Final = 10.0
_COLUMNS: Final = Columns(
    (
        ("experiment_id", TEXT, "experiment_id"),
        ("decision_id", TEXT, "decision_id"),
        ("kind", TEXT, "kind"),
        ("decision_time", MILLISECONDS, "decision_ms"),
        ("event_time", MILLISECONDS, "event_ms"),
        ("arm_index", INT, "arm_index"),
        ("stratum", TEXT, "stratum"),
        ("counted", BOOL, "counted"),
        ("position", SMALLINT, "position"),
        ("part", TEXT, "part"),
        ("deferred", BOOL, "deferred"),
        ("propensity", FLOAT, "propensity"),
        ("weights_version", BIGINT, "weights_version"),
        ("revision", BIGINT, "revision"),
        ("reward_micro", BIGINT, "reward_micro"),
        ("unit_hash", HEX_BYTEA, "unit_hash"),
        ("vector", TEXT, "vector"),
        ("segment", TEXT, "segment"),
        ("slate_propensity", FLOAT, "slate_propensity"),
        ("context", TEXT, "context"),
        ("settles", BOOL, "settles"),
        ("bucket", MILLISECONDS, "bucket_ms"),
        ("claim", TEXT, "claim"),
    )
)
# What is read of an event that was there before.
_STORED: Final = (
    "event_ms",
    "arm_index",
    "stratum",
    "counted",
    "deferred",
    "propensity",
    "weights_version",
    "revision",
    "reward_micro",
    "unit_hash",
    "vector",
    "segment",
    "slate_propensity",
    "context",
    "settles",
    "bucket_ms",
)
# One bad value fails a whole statement; these say that a value is bad, not that Postgres is.
_BAD_VALUE: Final = (psycopg.DataError, psycopg.IntegrityError, ValueError, OverflowError, struct.error)


class OtherTimelineError(Exception):
    """Postgres has failed over since the caller last looked. Nothing was written."""

    def __init__(self, timeline: str) -> None:
        super().__init__(timeline)
        self.timeline = timeline


@dataclass(frozen=True, slots=True)
class Written:
    """What became of rows: the places of those that were inserted, and why others were refused.

    Places in neither were there already.
    """

    inserted: frozenset[int]
    refused: dict[int, str]


@dataclass(frozen=True, slots=True)
class First:
    """The event that has a key, with the attempt that inserted it. `filled`: the closing of the window supplied it."""

    row: Row
    filled: bool


class LedgerWriter:
    """Writes to Postgres. Methods raise PostgresUnavailableError while it is away: the result is then unknown.

    Args:
        pool: An open pool whose connections take packed arrays.
        slot: Which rows of arm_totals this process raises.
    """

    def __init__(self, pool: Pool, *, slot: int = 0) -> None:
        self._pool = pool
        self.slot = slot

    async def write(self, rows: Sequence[Row], timeline: str, *, timeout: float = WRITE_TIMEOUT) -> Written:  # noqa: ASYNC109
        """Insert the events of rows, of which no two are the same attempt. To do it again does no harm.

        Raises:
            OtherTimelineError: Postgres is not on that timeline.
        """
        if not rows:
            return Written(frozenset(), {})
        try:
            inserted, given = await self._insert(rows, timeline, timeout)
        except _BAD_VALUE as error:
            return await self._halved(rows, timeline, timeout, error)
        refused = {place: "too old" for place in range(len(rows)) if place not in given}
        await self.refuse([rows[place].event for place in refused], "too old")
        return Written(inserted, refused)

    async def first(
        self,
        events: Sequence[Event],
        timeline: str,
        *,
        timeout: float = WRITE_TIMEOUT,  # noqa: ASYNC109 (as `connected` has)
    ) -> list[First | None]:
        """Return for each event the one that has its key, or its own id; None where there is none.

        The statement that met a conflict cannot see the other event: this has to be a later one.

        Raises:
            OtherTimelineError: Postgres is not on that timeline, so what is there may not be what was met.
        """
        async with connected(self._pool, timeout=timeout) as connection:
            cursor = await connection.execute(statement("timeline"))
            [found] = await cursor.fetchone() or [""]
            if found != timeline:
                raise OtherTimelineError(found)
            wanted = await self._as_claimed(connection, events)
            times = [event.decision_ms for event in wanted]
            parameters = {
                "first_ms": min(times, default=0),
                "last_ms": max(times, default=0),
                "experiment_id": packed(TEXT, [event.experiment_id for event in wanted]),
                "decision_id": packed(TEXT, [event.decision_id for event in wanted]),
                "kind": packed(TEXT, [event.kind for event in wanted]),
                "position": packed(SMALLINT, [event.position for event in wanted]),
                "part": packed(TEXT, [event.part for event in wanted]),
                "decision_time": packed(MILLISECONDS, times),
            }
            cursor = await connection.execute(statement("stored_events"), parameters)
            found_at = {place: rest for place, *rest in await cursor.fetchall()}
        return [_first(event, found_at[place]) if place in found_at else None for place, event in enumerate(wanted)]

    async def _as_claimed(self, connection: AsyncConnection[Any], events: Sequence[Event]) -> list[Event]:
        """Return the events; those under own ids as the decisions that have the ids."""
        wanted = list(events)
        own = [place for place, event in enumerate(events) if event.claim is not None]
        if own:
            parameters = {
                "experiment_id": packed(TEXT, [events[place].experiment_id for place in own]),
                "own_id": packed(TEXT, [events[place].decision_id for place in own]),
            }
            cursor = await connection.execute(statement("own_claims"), parameters)
            for number, decision_ms, claim in await cursor.fetchall():
                wanted[own[number]] = replace(events[own[number]], decision_ms=decision_ms, claim=claim)
        return wanted

    async def refuse(self, events: Sequence[Event], reason: str) -> None:
        """Keep events apart that are never counted."""
        if events:
            rows = []
            for event in events:
                fields = {name: _storable(value) for name, value in msgspec.structs.asdict(event).items()}
                document = msgspec.json.encode(fields).decode()
                rows.append({"experiment_id": fields["experiment_id"], "reason": reason, "event": document})
            await self._refuse(rows)

    async def refuse_unreadable(self, entries: Sequence[bytes]) -> None:
        """Keep entries of a spool apart that are no batches of events."""
        if entries:
            documents = [msgspec.json.encode({"base64": entry}).decode() for entry in entries]
            await self._refuse([{"experiment_id": "", "reason": "unreadable", "event": each} for each in documents])

    async def _refuse(self, rows: Sequence[dict[str, object]]) -> None:
        async with connected(self._pool) as connection, connection.cursor() as cursor:
            await cursor.executemany(statement("refuse_event"), rows)

    async def _insert(
        self, rows: Sequence[Row], timeline: str, seconds: float
    ) -> tuple[frozenset[int], frozenset[int]]:
        insert, parameters = numbered_statement("insert_batch"), self._parameters(rows, timeline)
        [(found, batches, ords, given)] = await in_one_trip(self._pool, insert, parameters, timeout=seconds)
        if found != timeline:
            raise OtherTimelineError(found)
        attempts = set(zip(batches or (), ords or (), strict=True))
        return frozenset(place for place, row in enumerate(rows) if row[:2] in attempts), frozenset(given)

    async def _halved(self, rows: Sequence[Row], timeline: str, seconds: float, error: Exception) -> Written:
        """Find the bad value that failed a statement, and write everything else."""
        if len(rows) == 1:
            reason = f"bad value: {str(error).splitlines()[0]}"
            await self.refuse([rows[0].event], reason)
            return Written(frozenset(), {0: reason})
        middle = len(rows) // 2
        first = await self.write(rows[:middle], timeline, timeout=seconds)
        second = await self.write(rows[middle:], timeline, timeout=seconds)
        return Written(
            first.inserted | {middle + place for place in second.inserted},
            first.refused | {middle + place: reason for place, reason in second.refused.items()},
        )

    def _parameters(self, rows: Sequence[Row], timeline: str) -> dict[str, Packed | int | str]:
        attempts = {
            "batch": packed(BIGINT, [row.batch for row in rows]),
            "ord": packed(INT, [row.ord for row in rows]),
            "place": packed(INT, range(len(rows))),
        }
        return {**_COLUMNS.packed([row.event for row in rows]), **attempts, "slot": self.slot, "timeline": timeline}


def _first(event: Event, columns: Sequence[Any]) -> First:
    """Return what is stored under an event's key. What the ledger does not store of it is as in that event."""
    batch, ord_, filled, *stored = columns
    return First(Row(batch, ord_, replace(event, **dict(zip(_STORED, stored, strict=True)))), filled)


def _storable(value: object) -> object:
    """Return a value that Postgres can hold, without the NUL or half surrogate pair for which an event is refused."""
    return value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else value
