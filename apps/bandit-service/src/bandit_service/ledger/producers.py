"""The processes that write events: who lives, and up to when each has written what it received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bandit_service.ledger.pool import Pool, connected, in_one_trip, numbered_statement, statement

# A heartbeat that takes longer says that Postgres is away.
_BEAT_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Registered:
    """A producer as it begins: which rows of the totals it raises, Postgres's timeline and time (ms)."""

    slot: int
    timeline: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat: Postgres's time (ms) and timeline.

    `is_whole`: every living producer has written again on this timeline what a failover may have lost.
    """

    now_ms: int
    timeline: str
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Producer:
    """A process as others see it; `silent_for` is how many seconds ago its last heartbeat was."""

    name: str
    dead: bool
    silent_for: float
    heartbeat_at: datetime


class Producers:
    """The table of processes. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, name: str, *, timeline: str = "") -> Registered:
        """Enter a process under a name that was never used before.

        Args:
            name: Of the process.
            timeline: On which it has last written again what a failover may have lost; empty if it keeps nothing.
        """
        async with connected(self._pool, timeout=_BEAT_TIMEOUT) as connection:
            cursor = await connection.execute(statement("register_producer"), {"name": name, "timeline": timeline})
            slot, timeline, now_ms = await cursor.fetchone() or (0, "", 0)
            return Registered(slot, timeline, now_ms)

    async def heartbeat(self, name: str, *, drained_to_ms: int, timeline: str, dead_after: float) -> Beat | None:
        """Say that a process lives; None if it is not known, or was marked dead: then it registers under a new name.

        Args:
            name: Of the process.
            drained_to_ms: Every event that it received before this time is in bandit_events.
            timeline: On which it has written again what a failover may have lost.
            dead_after: Seconds after a failover in which every living process beats.
        """
        parameters = {"name": name, "drained_to_ms": drained_to_ms, "timeline": timeline, "dead_after": dead_after}
        rows = await in_one_trip(self._pool, numbered_statement("heartbeat"), parameters, timeout=_BEAT_TIMEOUT)
        return Beat(*rows[0]) if rows else None

    async def all(self) -> list[Producer]:
        rows = await in_one_trip(self._pool, numbered_statement("producers"), {}, timeout=_BEAT_TIMEOUT)
        return [Producer(*row) for row in rows]

    async def have_written(self, until_ms: int, experiment_id: str) -> bool:
        """Return whether every event that any process received until then is written, and the experiment is settled."""
        async with connected(self._pool) as connection:
            parameters = {"until_ms": until_ms, "experiment_id": experiment_id}
            cursor = await connection.execute(statement("drained"), parameters)
            return await cursor.fetchone() == (True,)

    async def enter_lost(self, names: Sequence[str]) -> None:
        """Enter processes that are known to live, but not to this ledger any more."""
        async with connected(self._pool, timeout=_BEAT_TIMEOUT) as connection:
            await connection.execute(statement("enter_lost_producers"), {"names": list(names)})

    async def mark_dead(self, producer: Producer, timeline: str) -> bool:
        """Mark a process dead unless it has sent a heartbeat since; return whether that was done.

        Args:
            producer: The process.
            timeline: Nothing is done on another one: a failover loses heartbeats.
        """
        parameters = {"name": producer.name, "heartbeat_at": producer.heartbeat_at, "timeline": timeline}
        async with connected(self._pool, timeout=_BEAT_TIMEOUT) as connection:
            cursor = await connection.execute(statement("mark_producer_dead"), parameters)
            return cursor.rowcount == 1

    async def remove(self, name: str) -> None:
        """Forget a process whose every event is written."""
        async with connected(self._pool, timeout=_BEAT_TIMEOUT) as connection:
            await connection.execute("DELETE FROM producers WHERE name = %s", [name])
