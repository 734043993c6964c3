"""Events in Postgres: written once each, folded into beliefs, and asked for what an emptied store has lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, auto
from itertools import batched
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from bandit_service.domain.allocation import AllocationRecord
from bandit_service.domain.event import EventKey, Kind
from bandit_service.domain.own_decision import OwnDecision
from bandit_service.ledger.pool import Pool, connected, pages, statement

# Writing a batch and rebuilding from millions of events take longer than a caller of the API would wait.
_WRITE_TIMEOUT = 15.0
_REBUILD_TIMEOUT = 600.0
# So many events are handled at once between two turns of the event loop.
PIECE = 250
_NULL = b"\\N"


@dataclass(frozen=True, slots=True)
class Position:
    """How far an experiment's stream has come into Postgres."""

    epoch: int
    committed_seq: int


class StreamEvent(NamedTuple):
    """One event as it stands in the stream: the record, and beside it what the commit script decided.

    `believed` and `first_exposure` are b"1" or b"0"; `outcome` is what a closing window was worth in millionths, b"" if
    that is ignored; `context` is what a reward's decision was made in. Nothing is decoded here: Postgres reads the
    record itself, and the service has less to do.
    """

    seq: int
    kind: bytes
    believed: bytes
    record: bytes
    first_exposure: bytes | None = None
    outcome: bytes | None = None
    context: bytes | None = None


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Consecutive events of one experiment and epoch."""

    experiment_id: str
    epoch: int
    events: tuple[StreamEvent, ...]


class Refusal(Enum):
    """Why a batch is not written: its epoch is not the current one, or events are missing before it."""

    OTHER_EPOCH = auto()
    GAP = auto()


@dataclass(slots=True)
class ArmTotals:
    """The fold of an arm's events. `reward_micro`, `square_micro` and `rewards` are what the beliefs took.

    `square_micro` is 0 unless they are gaussian.
    """

    reward_micro: int = 0
    rewards: int = 0
    decisions: int = 0
    holdout_decisions: int = 0
    holdout_rewards: int = 0
    holdout_reward_micro: int = 0
    square_micro: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The totals up to (epoch, seq), with the priors taken out again."""

    epoch: int = 0
    seq: int = 0
    arms: dict[int, ArmTotals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """How many rewards entered a segment's beliefs about an arm, and their sum in millionths."""

    segment: str
    arm_index: int
    rewards: int
    reward_micro: int


@dataclass(frozen=True, slots=True)
class LearntEvent:
    """A reward with the context its decision was made in: what a linear model learns from, in stream order."""

    epoch: int
    seq: int
    arm_index: int
    reward_micro: int
    event_ms: int
    context: str


@dataclass(frozen=True, slots=True)
class LinearSnapshot:
    """Linear models by arm, as the fold of every event up to (epoch, seq)."""

    epoch: int = 0
    seq: int = 0
    states: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One arm of a snapshot as it is stored."""

    experiment_id: str
    epoch: int
    seq: int
    arm_index: int
    arm: str
    taken_at: float
    alpha_micro: int
    beta_micro: int
    decisions: int
    rewards: int
    holdout_decisions: int = 0
    holdout_rewards: int = 0
    holdout_reward_micro: int = 0


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A decision whose reward window has not been closed."""

    decision_id: str
    arm_index: int
    decision_ms: int
    position: int
    segment: str | None


class EventLog:
    """The events of all experiments. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def position(self, experiment_id: str) -> Position | None:
        """Return how far an experiment is committed, after any write that is under way; None for an unknown one."""
        async with connected(self._pool, timeout=_WRITE_TIMEOUT) as connection:
            cursor = await connection.execute(statement("position"), {"experiment_id": experiment_id})
            row = await cursor.fetchone()
            return None if row is None else Position(*row)

    async def raise_epoch(self, experiment_id: str) -> Position | None:
        """Fence off every writer of the current epoch and return the new one; None for an unknown experiment."""
        # The row is locked by a writer that is still at work: that is what has to be waited for.
        async with connected(self._pool, timeout=_WRITE_TIMEOUT) as connection:
            cursor = await connection.execute(statement("raise_epoch"), {"experiment_id": experiment_id})
            row = await cursor.fetchone()
            return None if row is None else Position(*row)

    async def write(
        self, batches: Sequence[StreamBatch], confirm: Callable[[], Awaitable[None]]
    ) -> dict[str, int | Refusal]:
        """Write batches in one transaction; say how far each experiment is committed then, or why it was refused.

        Args:
            batches: At most one of an experiment.
            confirm: Asked once nobody else can write: raises if the streams may have changed since they were read.
        """
        async with connected(self._pool, timeout=_WRITE_TIMEOUT) as connection:
            await connection.execute(statement("limit_idleness"))
            positions = await _lock(connection, [batch.experiment_id for batch in batches])
            await confirm()
            judged = {batch.experiment_id: _judge(batch, positions.get(batch.experiment_id)) for batch in batches}
            fitting = [batch for batch in batches if judged[batch.experiment_id] == batch.events[-1].seq]
            if fitting:
                await _insert(connection, fitting)
            for batch in fitting:
                parameters = {"experiment_id": batch.experiment_id, "seq": batch.events[-1].seq}
                await connection.execute(statement("advance_position"), parameters)
        return judged

    async def present(self, experiment_id: str, keys: Sequence[EventKey]) -> set[EventKey]:
        """Return those of the keys whose event Postgres has."""
        parameters = {
            "experiment_id": experiment_id,
            "decision_ids": [key.decision_id for key in keys],
            "kinds": [key.kind for key in keys],
            "positions": [key.position for key in keys],
            "decision_ms": [key.decision_ms for key in keys],
        }
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("present_events"), parameters)
            return {EventKey(*row) for row in await cursor.fetchall()}

    async def last_snapshot(self, experiment_id: str, priors: dict[int, tuple[int, int]]) -> Snapshot:
        """Return the newest snapshot, or an empty one. `priors` are what each arm's sums began with, in millionths."""
        rows = await self._rows("last_snapshot", experiment_id=experiment_id)
        if not rows:
            return Snapshot()
        arms = {row["arm_index"]: _totals(row, *priors[row["arm_index"]]) for row in rows}
        return Snapshot(rows[0]["epoch"], rows[0]["seq"], arms)

    async def fold_segments(self, experiment_id: str, after: Snapshot) -> list[SegmentCount]:
        """Return the counts of segments: those of the snapshot and what every later event adds."""
        parameters = {"experiment_id": experiment_id, "epoch": after.epoch, "seq": after.seq}
        totals: dict[tuple[str, int], SegmentCount] = {}
        for name in ("segment_snapshot", "fold_segments"):
            for row in await self._rows(name, **parameters):
                key = (row["segment"], row["arm_index"])
                before = totals.get(key, SegmentCount(*key, 0, 0))
                totals[key] = SegmentCount(
                    *key, before.rewards + row["rewards"], before.reward_micro + row["reward_micro"]
                )
        return list(totals.values())

    async def linear_snapshot(self, experiment_id: str) -> LinearSnapshot:
        """Return the newest snapshot of linear models, or an empty one."""
        rows = await self._rows("linear_snapshot", experiment_id=experiment_id)
        if not rows:
            return LinearSnapshot()
        return LinearSnapshot(rows[0]["epoch"], rows[0]["seq"], {row["arm_index"]: row["state"] for row in rows})

    async def save_linear_snapshot(self, experiment_id: str, snapshot: LinearSnapshot, taken_at: float) -> None:
        """Keep a snapshot of linear models in place of older ones."""
        place = {"experiment_id": experiment_id, "epoch": snapshot.epoch, "seq": snapshot.seq}
        rows = [
            {**place, "arm_index": index, "taken_at": taken_at, "state": state}
            for index, state in snapshot.states.items()
        ]
        async with connected(self._pool) as connection, connection.cursor() as cursor:
            await cursor.executemany(statement("insert_linear_snapshot"), rows)
            await cursor.execute(statement("retire_linear_snapshots"), place)

    async def believed_contexts(
        self, experiment_id: str, epoch: int, seq: int, committed: int
    ) -> AsyncIterator[list[LearntEvent]]:
        """Yield, page by page and in stream order, what linear models learn from after (epoch, seq)."""
        parameters = {"experiment_id": experiment_id, "epoch": epoch, "seq": seq, "committed": committed}
        async for page in self._pages("believed_contexts", parameters):
            yield [LearntEvent(*row) for row in page]

    async def contexts(self, experiment_id: str, since_ms: int) -> AsyncIterator[list[tuple[str, str]]]:
        """Yield, page by page, the contexts of decisions since then, by decision."""
        async for page in self._pages("recent_contexts", {"experiment_id": experiment_id, "since_ms": since_ms}):
            yield page

    async def fold(self, experiment_id: str, after: Snapshot, *, is_gaussian: bool = False) -> dict[int, ArmTotals]:
        """Return the totals of every arm: those of the snapshot and what every later event adds."""
        place = {"experiment_id": experiment_id, "epoch": after.epoch, "seq": after.seq}
        rows = await self._rows("fold_events", is_gaussian=is_gaussian, **place)
        totals = {index: replace(arm) for index, arm in after.arms.items()}
        for row in rows:
            index = row.pop("arm_index")
            arm = totals.setdefault(index, ArmTotals())
            for name, amount in row.items():
                setattr(arm, name, getattr(arm, name) + amount)
        return totals

    async def markers(
        self, experiment_id: str, kind: Kind, since_ms: int
    ) -> AsyncIterator[list[tuple[str, int, int | None]]]:
        """Yield, page by page, decision id, position and reward of every event of a kind on decisions since then."""
        parameters = {"experiment_id": experiment_id, "kind": kind, "since_ms": since_ms}
        async for page in self._pages("recent_markers", parameters):
            yield page

    async def own_decisions(
        self, experiment_id: str, since_ms: int, segments: Sequence[str] = ()
    ) -> AsyncIterator[list[tuple[str, OwnDecision]]]:
        """Yield, page by page, the decisions since then that carry ids of their callers'."""
        numbers = {name: number for number, name in enumerate(segments)}
        parameters = {"experiment_id": experiment_id, "since_ms": since_ms}
        async for page in self._pages("recent_own_decisions", parameters):
            yield [
                (decision_id, OwnDecision(*(*fields, numbers.get(segment)))) for decision_id, *fields, segment in page
            ]

    async def open_windows(self, experiment_id: str) -> list[OpenWindow]:
        return [OpenWindow(**row) for row in await self._rows("open_windows", experiment_id=experiment_id)]

    async def recent_selections(self, experiment_id: str, now: float, window: float) -> dict[int, tuple[int, int]]:
        """Return how often each arm was selected in the last `window` seconds, and in as many before those."""
        rows = await self._rows("recent_selections", experiment_id=experiment_id, now=now, window=window)
        return {row["arm_index"]: (row["recent"], row["earlier"]) for row in rows}

    async def unit_counts(self, experiment_id: str) -> tuple[int, int]:
        """Return how many units the bandit decided for, and how many are held out."""
        [row] = await self._rows("exposed_unit_counts", experiment_id=experiment_id)
        return row["bandit"], row["holdout"]

    async def exposed_units(self, experiment_id: str) -> AsyncIterator[list[str]]:
        """Yield, page by page, the hashes of all units that the bandit has decided for."""
        async for page in self._pages("exposed_units", {"experiment_id": experiment_id}):
            yield [name for (name,) in page]

    async def save_snapshot(self, rows: Sequence[SnapshotRow], segments: Sequence[SegmentCount] = ()) -> None:
        """Keep a snapshot of all arms, and of the counts of segments in place of older ones."""
        names = SnapshotRow.__slots__
        parameters = [{name: getattr(row, name) for name in names} for row in rows]
        async with connected(self._pool) as connection, connection.cursor() as cursor:
            await cursor.executemany(statement("insert_snapshot"), parameters)
            if segments:
                place = {name: parameters[0][name] for name in ("experiment_id", "epoch", "seq")}
                counts = [{**place, **asdict(count)} for count in segments]
                await cursor.executemany(statement("insert_segment_snapshot"), counts)
                await cursor.execute(statement("retire_segment_snapshots"), place)

    async def save_allocation(
        self, experiment_id: str, record: AllocationRecord, explanation: dict[str, Any], summary: str
    ) -> None:
        parameters = {
            "experiment_id": experiment_id,
            "weights_version": record.version,
            "published_at": record.published_at,
            "revision": record.revision,
            "weights": Jsonb(dict(record.weights)),
            "prob_best": Jsonb(dict(record.prob_best)),
            "expected_loss": Jsonb(dict(record.expected_loss)),
            "explanation": Jsonb(explanation),
            "summary": summary,
        }
        async with connected(self._pool) as connection:
            await connection.execute(statement("insert_allocation"), parameters)

    async def last_allocation(self, experiment_id: str) -> AllocationRecord | None:
        rows = await self._rows("last_allocation", experiment_id=experiment_id)
        if not rows:
            return None
        row = rows[0]
        return AllocationRecord(
            version=row["weights_version"],
            epoch=0,
            revision=row["revision"],
            belief_version=-1,
            seq=0,
            published_at=row["published_at"],
            changed_at=row["published_at"],
            weights=row["weights"],
            prob_best=row["prob_best"],
            expected_loss=row["expected_loss"],
        )

    def _pages(self, name: str, parameters: dict[str, object]) -> AsyncIterator[list[Any]]:
        return pages(self._pool, name, parameters, timeout=_REBUILD_TIMEOUT)

    async def _rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        async with (
            connected(self._pool, timeout=_REBUILD_TIMEOUT) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(statement(name), parameters)
            return await cursor.fetchall()


async def _lock(connection: AsyncConnection[Any], experiment_ids: list[str]) -> dict[str, Position]:
    cursor = await connection.execute(statement("lock_positions"), {"experiment_ids": experiment_ids})
    return {name: Position(epoch, seq) for name, epoch, seq in await cursor.fetchall()}


def _judge(batch: StreamBatch, position: Position | None) -> int | Refusal:
    """Say how far an experiment is committed once its batch is written, or why the batch must not be."""
    if position is None or position.epoch != batch.epoch:
        return Refusal.OTHER_EPOCH
    if batch.events[0].seq > position.committed_seq + 1:
        return Refusal.GAP
    # The first events may be committed already, by another writer or because their trimming was interrupted.
    return max(batch.events[-1].seq, position.committed_seq)


async def _insert(connection: AsyncConnection[Any], batches: Sequence[StreamBatch]) -> None:
    await connection.execute(statement("create_incoming_events"))
    async with connection.cursor() as cursor:
        async with cursor.copy(statement("copy_incoming_events")) as copy:
            for batch in batches:
                for piece in batched(batch.events, PIECE):
                    await copy.write(_copied(batch.experiment_id, batch.epoch, piece))
                    await asyncio.sleep(0)
        await cursor.execute(statement("insert_incoming_events"))


def _copied(experiment_id: str, epoch: int, events: Sequence[StreamEvent]) -> bytes:
    """Return events as lines of COPY's text format. JSON has neither tabs nor line ends of its own, but backslashes."""
    head = b"%b\t%d" % (experiment_id.encode(), epoch)
    return b"".join(
        b"%b\t%d\t%b\t%b\t%b\t%b\t%b\t%b\n"
        % (
            head,
            event.seq,
            event.kind,
            event.believed,
            _NULL if event.first_exposure is None else event.first_exposure,
            _NULL if event.outcome is None else event.outcome,
            event.context.replace(b"\\", b"\\\\") if event.context else _NULL,
            event.record.replace(b"\\", b"\\\\"),
        )
        for event in events
    )


def _totals(row: dict[str, Any], prior_alpha_micro: int, prior_beta_micro: int) -> ArmTotals:
    return ArmTotals(
        reward_micro=row["alpha_micro"] - prior_alpha_micro,
        # Where the second sum begins at 0 it is one of squares; elsewhere it follows from the others.
        square_micro=0 if prior_beta_micro else row["beta_micro"],
        rewards=row["rewards"],
        decisions=row["decisions"],
        holdout_decisions=row["holdout_decisions"],
        holdout_rewards=row["holdout_rewards"],
        holdout_reward_micro=row["holdout_reward_micro"],
    )
