"""Writes the outcomes of decisions that several events depend on, and closes reward windows: once, by the lease-holder.

The unsettled rows and the events are read first; what they say is then written in one transaction that holds the lease.
An event that a neighbour commits in between has an unsettled row, or a count in its bucket, of its own.

Locks are taken in the order of all transactions: the lease, then events, then totals. Exposures and buckets have
transactions of their own, so that they wait for no transaction that waits for these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.reward_window import bucket_width_ms, window_ms
from bandit_service.domain import outcome as rules
from bandit_service.domain.event import Event
from bandit_service.ledger.arrays import (
    BIGINT,
    BOOL,
    FLOAT,
    INT,
    MILLISECONDS,
    SMALLINT,
    TEXT,
    Columns,
    packed,
)
from bandit_service.ledger.leases import FencedError, Lease
from bandit_service.ledger.pool import Pool, connected, statement

# How much one turn reads, so that it holds its locks for a short while.
MOST_ROWS: Final = 500
MOST_DECISIONS: Final = 2_000
_TIMEOUT: Final = 10.0
_COLUMNS: Final = Columns(
    (
        ("decision_id", TEXT, "decision_id"),
        ("kind", TEXT, "kind"),
        ("position", SMALLINT, "position"),
        ("part", TEXT, "part"),
        ("decision_time", MILLISECONDS, "decision_ms"),
        ("event_time", MILLISECONDS, "event_ms"),
        ("arm_index", INT, "arm_index"),
        ("stratum", TEXT, "stratum"),
        ("counted", BOOL, "counted"),
        ("deferred", BOOL, "deferred"),
        ("propensity", FLOAT, "propensity"),
        ("weights_version", BIGINT, "weights_version"),
        ("revision", BIGINT, "revision"),
        ("reward_micro", BIGINT, "reward_micro"),
        ("vector", TEXT, "vector"),
        ("segment", TEXT, "segment"),
    )
)


class Outcome(NamedTuple):
    """An outcome that was written; `context` is the JSON text that a linear model learns it with, if there is one."""

    decision_id: str
    position: int
    arm_index: int
    reward_micro: int
    event_ms: int
    context: str | None
    segment: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What a turn wrote.

    Attributes:
        experiment_id: Whose turn it was.
        outcomes: Those that were written by it for the first time.
        before: The turn before it; turns have no gaps.
        turn: The number of the turn; 0 if there was nothing to write.
        has_more: There may be more to do at once.
        touched: The totals were raised.
    """

    experiment_id: str
    outcomes: tuple[Outcome, ...] = ()
    before: int = 0
    turn: int = 0
    has_more: bool = False
    touched: bool = False

    def then(self, later: Settled) -> Settled:
        """Return this turn and the one after it as one."""
        return Settled(
            self.experiment_id,
            self.outcomes + later.outcomes,
            self.before if self.turn else later.before,
            later.turn or self.turn,
            self.has_more or later.has_more,
            self.touched or later.touched,
        )


class _Decision(NamedTuple):
    """The key of a decision."""

    decision_ms: int
    decision_id: str


type _Events = dict[_Decision, list[Event]]


@dataclass(frozen=True, slots=True)
class _Pass:
    """A bucket that is being closed: what its rows counted when that began, and the last decision that was closed."""

    lease: Lease
    timeline: str
    bucket_ms: int
    end_ms: int
    slots: list[int]
    events: list[int]
    after: _Decision


@dataclass(slots=True)
class _Turn:
    """The transaction of a turn: what it has inserted so far."""

    connection: AsyncConnection[Any]
    experiment: Experiment
    number: int
    slot: int
    written: int = 0
    touched: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    async def insert(self, events: Sequence[Event]) -> list[Event]:
        """Insert events; return those whose key was there already."""
        if not events:
            return []
        ords = packed(INT, range(self.written, self.written + len(events)))
        own = {"experiment_id": self.experiment.id, "turn": self.number, "slot": self.slot, "ord": ords}
        parameters = {**_COLUMNS.packed(events), **own}
        cursor = await self.connection.execute(statement("insert_settled"), parameters)
        (inserted_ords,) = await cursor.fetchone() or ((),)
        inserted = {place - self.written for place in inserted_ords}
        self.written += len(events)
        self.touched = self.touched or any(events[place].counted for place in inserted)
        return [event for place, event in enumerate(events) if place not in inserted]

    async def write_outcomes(self, found: Iterable[tuple[Event, str | None]]) -> None:
        """Insert outcomes, each with the context that is learnt with it, and note those that were new."""
        outcomes = list(found)
        known = {event.key for event in await self.insert([event for event, _ in outcomes])}
        self.outcomes += [_outcome(event, context) for event, context in outcomes if event.key not in known]

    def settled(self, *, has_more: bool) -> Settled:
        return Settled(self.experiment.id, tuple(self.outcomes), self.number - 1, self.number, has_more, self.touched)


class Settling:
    """Settles and closes decisions. One turn of an experiment follows another.

    Methods raise PostgresUnavailableError while Postgres is away (what a turn wrote is then unknown), and FencedError
    once the lease has gone to another process or Postgres has failed over (then it wrote nothing).

    Args:
        pool: An open pool whose connections take packed arrays.
        slot: Which rows of arm_totals this process raises.
        most_rows: How many unsettled rows a turn reads.
        most_decisions: About how many decisions it reads.
    """

    def __init__(
        self, pool: Pool, *, slot: int = 0, most_rows: int = MOST_ROWS, most_decisions: int = MOST_DECISIONS
    ) -> None:
        self._pool = pool
        self.slot = slot
        self._most_rows = most_rows
        self._most_decisions = most_decisions
        self._passes: dict[str, _Pass] = {}

    def forget(self, experiment_id: str) -> None:
        """Leave an experiment to the process that took its lease."""
        self._passes.pop(experiment_id, None)

    async def settle(self, lease: Lease, experiment: Experiment) -> Settled:
        """Write the outcomes that have become complete. Nothing is done while a failover is being made good."""
        parameters = {"experiment_id": experiment.id, "rows": self._most_rows, "decisions": self._most_decisions}
        async with connected(self._pool) as connection:
            rows = await (await connection.execute(statement("unsettled"), parameters)).fetchall()
            if not rows:
                return Settled(experiment.id)
            timeline, is_whole = await (await connection.execute(statement("ledger_state"))).fetchone() or ("", False)
            if not is_whole:
                return Settled(experiment.id)
            decisions = {_Decision(decision_ms, decision_id) for _, decision_id, decision_ms in rows}
            # A decision that has neither a reward nor an activation yet is looked at again once one of them is written.
            known = await _events_of(connection, experiment, decisions, alone=False)
        await self._expose(experiment, [key for key, events in known.items() if rules.is_shown_later(events)])
        ids = sorted({row[0] for row in rows})
        has_more = len(ids) >= self._most_rows or len(rows) >= self._most_decisions
        async with connected(self._pool, timeout=_TIMEOUT) as connection:
            turn = await self._begin(connection, lease, experiment, timeline)
            await turn.write_outcomes(
                (outcome, rules.learnt_context(events, outcome))
                for events in known.values()
                for outcome in rules.settled(experiment, events)
            )
            await connection.execute(statement("delete_unsettled"), {"experiment_id": experiment.id, "ids": ids})
        return turn.settled(has_more=has_more)

    async def close(self, lease: Lease, experiment: Experiment, now_ms: int) -> Settled:
        """Close a page of decisions whose reward windows have ended, by the ledger's time `now_ms` at the latest."""
        going = self._passes.get(experiment.id)
        if going is None or going.lease != lease:
            going = await self._due(lease, experiment, now_ms)
        if going is None:
            return Settled(experiment.id)
        settled, last = await self._close_page(experiment, going)
        if last is not None:
            self._passes[experiment.id] = replace(going, after=last)
        else:
            await self._finish(experiment, going)
            self._passes.pop(experiment.id, None)
        return replace(settled, has_more=True)

    async def _due(self, lease: Lease, experiment: Experiment, now_ms: int) -> _Pass | None:
        width = bucket_width_ms(experiment)
        open_ms = width + window_ms(experiment)
        parameters = {"experiment_id": experiment.id, "open_ms": open_ms, "now_ms": now_ms}
        async with connected(self._pool) as connection:
            row = await (await connection.execute(statement("due_bucket"), parameters)).fetchone()
        if row is None:
            return None
        timeline, bucket_ms, slots, events = row
        return _Pass(lease, timeline, bucket_ms, bucket_ms + width, slots, events, _Decision(bucket_ms, ""))

    async def _close_page(self, experiment: Experiment, going: _Pass) -> tuple[Settled, _Decision | None]:
        """Close a page of decisions; return its last one, or None where the bucket ends."""
        parameters = {
            "experiment_id": experiment.id,
            "after_ms": going.after.decision_ms,
            "after_id": going.after.decision_id,
            "end_ms": going.end_ms,
            "decisions": self._most_decisions,
        }
        async with connected(self._pool) as connection:
            state = await (await connection.execute(statement("timeline"))).fetchone()
            if state != (going.timeline,):
                # A former primary, on a session that has outlived a failover, may have outcomes that are lost.
                raise FencedError(experiment.id)
            cursor = await connection.execute(statement("bucket_decisions"), parameters)
            page = [_Decision(decision_ms, decision_id) for decision_id, decision_ms in await cursor.fetchall()]
            known = await _events_of(connection, experiment, page)
        settled = await self._close_decisions(experiment, going, known)
        return settled, page[-1] if len(page) >= self._most_decisions else None

    async def _close_decisions(self, experiment: Experiment, going: _Pass, known: _Events) -> Settled:
        supplied = {key: rules.supplied(experiment, events) for key, events in known.items()}
        if not any(supplied.values()) and not any(rules.closed(events) for events in known.values()):
            return Settled(experiment.id)
        async with connected(self._pool, timeout=_TIMEOUT) as connection:
            turn = await self._begin(connection, going.lease, experiment, going.timeline)
            lost = await turn.insert([event for events in supplied.values() for event in events])
            # What came first under the same key is only visible to a later statement.
            known = {key: events + supplied[key] for key, events in known.items()}
            known |= await _events_of(connection, experiment, {_key(event) for event in lost})
            await turn.write_outcomes(
                (outcome, rules.learnt_context(events, outcome))
                for events in known.values()
                for outcome in rules.closed(events)
            )
        return turn.settled(has_more=True)

    async def _finish(self, experiment: Experiment, going: _Pass) -> None:
        parameters = {
            "experiment_id": experiment.id,
            "bucket_ms": going.bucket_ms,
            "slots": going.slots,
            "events": going.events,
            "timeline": going.timeline,
        }
        async with connected(self._pool) as connection:
            await connection.execute(statement("delete_bucket"), parameters)

    async def _expose(self, experiment: Experiment, shown: Sequence[_Decision]) -> None:
        """Expose units. That they were shown their decisions is true under any lease."""
        if shown:
            async with connected(self._pool) as connection:
                await connection.execute(statement("expose_units"), _named(experiment, shown))

    async def _begin(
        self, connection: AsyncConnection[Any], lease: Lease, experiment: Experiment, timeline: str
    ) -> _Turn:
        parameters = {
            "experiment_id": lease.experiment_id,
            "holder": lease.holder,
            "token": lease.token,
            "timeline": timeline,
        }
        row = await (await connection.execute(statement("next_turn"), parameters)).fetchone()
        if row is None:
            raise FencedError(lease.experiment_id)
        return _Turn(connection, experiment, row[0], self.slot)


def _named(experiment: Experiment, decisions: Sequence[_Decision]) -> dict[str, object]:
    times = [decision.decision_ms for decision in decisions]
    return {
        "experiment_id": experiment.id,
        "decision_id": packed(TEXT, [decision.decision_id for decision in decisions]),
        "decision_time": packed(MILLISECONDS, times),
        "first_ms": min(times),
        "last_ms": max(times),
    }


async def _events_of(
    connection: AsyncConnection[Any], experiment: Experiment, decisions: Iterable[_Decision], *, alone: bool = True
) -> _Events:
    """Return all events of decisions; nothing of those that have none, or if not `alone`, nothing but the decision."""
    wanted = sorted(decisions)
    known: _Events = defaultdict(list)
    if wanted:
        parameters = _named(experiment, wanted) | {"with_context": experiment.is_contextual, "alone": alone}
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement("decision_events"), parameters)
            for row in await cursor.fetchall():
                event = Event(experiment_id=experiment.id, **row)
                known[_key(event)].append(event)
    return dict(known)


def _key(event: Event) -> _Decision:
    return _Decision(event.decision_ms, event.decision_id)


def _outcome(event: Event, context: str | None) -> Outcome:
    return Outcome(
        event.decision_id,
        event.position,
        event.arm_index,
        event.reward_micro or 0,
        event.event_ms,
        context,
        event.segment,
    )
