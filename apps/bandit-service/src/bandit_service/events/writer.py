"""The stream's way into Postgres: read, write in one transaction, and only then trim."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bandit_service.domain.event import decode_record
from bandit_service.ledger.events import PIECE, EventLog, Refusal, StreamBatch, StreamEvent
from bandit_service.redis_store.state import Head
from bandit_service.redis_store.streams import Entry, Streams

BATCH: Final = 5_000
_AT_ONCE: Final = 4


@dataclass(slots=True)
class Round:
    """What one round found and left: where experiments stood before it, what Postgres has now, and who was refused."""

    heads: Mapping[str, Head]
    has_more: bool = False
    written: list[StreamBatch] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)


class Writer:
    """Writes the events of the experiments whose lease this process holds."""

    def __init__(self, streams: Streams, events: EventLog, *, clock: Callable[[], float], batch: int = BATCH) -> None:
        self._streams = streams
        self._events = events
        self._clock = clock
        self._batch = batch
        self._oldest: dict[str, float] = {}

    @property
    def lag(self) -> float:
        """Age in seconds of the oldest event seen that Postgres does not have; 0 if there is none."""
        return max((self._clock() - at for at in self._oldest.values()), default=0.0)

    def forget(self, experiment_id: str) -> None:
        """Leave the lag of an experiment to the process that looks after it now."""
        self._oldest.pop(experiment_id, None)

    async def drain(self, experiment_ids: Sequence[str]) -> Round:
        """Write one batch of each experiment that has events waiting, or of as many as one transaction may take.

        Raises:
            PostgresUnavailableError, StoreUnavailableError: nothing was trimmed; what was written is not written twice.
        """
        await self._streams.open()
        heads = await self._streams.heads(experiment_ids)
        done = Round(heads)
        batches = await self._read(heads)
        if not batches:
            return done
        # Between reading and writing the store may be restarted, come back older, and take other events under the same
        # numbers. Who lets that happen has waited for the lock that this transaction holds: if the connection is still
        # there once it is held, it has not happened.
        written = await self._events.write(batches, self._streams.still_there)
        for batch in batches:
            committed = written[batch.experiment_id]
            if isinstance(committed, Refusal):
                done.refused[batch.experiment_id] = committed
                continue
            done.written.append(batch)
            await self._streams.trim(batch.experiment_id, batch.epoch, committed)
            self._oldest.pop(batch.experiment_id, None)
            done.has_more = done.has_more or heads[batch.experiment_id].seq > committed
        return done

    async def _read(self, heads: Mapping[str, Head]) -> list[StreamBatch]:
        waiting = {name: head for name, head in heads.items() if head.epoch is not None and head.seq > head.committed}
        # Those that have waited longest come first, so that under pressure everyone gets a turn.
        in_turn = sorted(waiting, key=lambda name: self._oldest.get(name, 0.0))
        batches: list[StreamBatch] = []
        for name in in_turn:
            if sum(len(batch.events) for batch in batches) >= _AT_ONCE * self._batch:
                break
            batch = await self._read_one(name, waiting[name])
            if batch is not None:
                batches.append(batch)
        return batches

    async def _read_one(self, experiment_id: str, head: Head) -> StreamBatch | None:
        epoch, first = head.epoch or 0, head.committed + 1
        events: list[StreamEvent] = []
        # Piece by piece: what is read and turned into events at once keeps the process from its requests.
        while len(events) < self._batch:
            wanted = min(PIECE, self._batch - len(events))
            entries = await self._streams.events(experiment_id, epoch, first, wanted)
            piece = _consecutive(entries)
            if not piece or (events and piece[0][0] != first):
                break
            events += [_event(seq, fields) for seq, fields in piece]
            first = events[-1].seq + 1
            if len(piece) < wanted or first > head.seq:
                break
        if not events:
            return None
        self._oldest.setdefault(experiment_id, decode_record(events[0].record).event_ms / 1_000)
        return StreamBatch(experiment_id, epoch, tuple(events))


def _consecutive(entries: list[Entry]) -> list[Entry]:
    """Return the entries up to the first gap in their numbers."""
    if not entries:
        return []
    first = entries[0][0]
    run = itertools.takewhile(lambda item: item[1][0] == first + item[0], enumerate(entries))
    return [entry for _, entry in run]


def _event(seq: int, fields: list[bytes]) -> StreamEvent:
    """Read an entry by place: the commit script alone writes them, k, b and p first, then f, r and x."""
    _, kind, _, believed, _, record, *more = fields
    if not more:
        return StreamEvent(seq, kind, believed, record)
    named = dict(zip(more[::2], more[1::2], strict=True))
    return StreamEvent(seq, kind, believed, record, named.get(b"f"), named.get(b"r"), named.get(b"x"))
