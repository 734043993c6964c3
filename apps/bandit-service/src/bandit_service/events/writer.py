"""The stream's way into Postgres: read, write in one transaction, and only then trim."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from bandit_service.events.record import decode_record
from bandit_service.postgres_store.events import EventLog, StreamBatch, StreamEvent
from bandit_service.redis_store.store import RedisStore, State


class Writer:
    """Writes the events of the experiments whose lease this process holds."""

    def __init__(self, store: RedisStore, events: EventLog, *, clock: Callable[[], float], batch: int = 5_000) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._batch = batch
        self._oldest: dict[str, float] = {}

    @property
    def lag(self) -> float:
        """Age in seconds of the oldest event seen that Postgres does not have; 0 if there is none."""
        return max((self._clock() - at for at in self._oldest.values()), default=0.0)

    def forget(self, experiment_ids: Sequence[str]) -> None:
        """Leave the lag of experiments to the process that looks after them now."""
        for experiment_id in experiment_ids:
            self._oldest.pop(experiment_id, None)

    async def drain(self, states: dict[str, State]) -> tuple[bool, list[str]]:
        """Write one batch of each experiment that has events waiting.

        Returns whether there may be more at once, and the experiments whose stream does not continue what Postgres has.

        Raises:
            PostgresUnavailableError, StoreUnavailableError: nothing was trimmed; what was written is not written twice.
        """
        batches = [batch for name, state in states.items() if (batch := await self._read(name, state)) is not None]
        if not batches:
            return False, []
        written = await self._events.write(batches)
        stale = []
        for batch in batches:
            committed = written[batch.experiment_id]
            if committed is None:
                stale.append(batch.experiment_id)
                continue
            await self._store.trim(batch.experiment_id, batch.epoch, committed)
            self._oldest.pop(batch.experiment_id, None)
        more = any(len(batch.events) == self._batch for batch in batches)
        return more, stale

    async def _read(self, experiment_id: str, state: State) -> StreamBatch | None:
        if state.epoch is None or state.seq <= state.committed:
            return None
        entries = await self._store.events(experiment_id, state.epoch, state.committed + 1, self._batch)
        if not entries:
            return None
        events = tuple(_parse(seq, fields) for seq, fields in _consecutive(entries))
        self._oldest.setdefault(experiment_id, events[0].record.event_ms / 1_000)
        return StreamBatch(experiment_id, state.epoch, events)


def _consecutive(entries: list[tuple[int, dict[str, str]]]) -> list[tuple[int, dict[str, str]]]:
    """Return the entries up to the first gap in their numbers."""
    first = entries[0][0]
    run = itertools.takewhile(lambda item: item[1][0] == first + item[0], enumerate(entries))
    return [entry for _, entry in run]


def _parse(seq: int, fields: dict[str, str]) -> StreamEvent:
    record = decode_record(fields["p"])
    micro = fields.get("r")
    first_exposure = fields.get("f")
    return StreamEvent(
        seq=seq,
        kind=fields["k"],  # type: ignore[arg-type]  # written by the commit script alone
        record=record,
        believed=fields["b"] == "1",
        first_exposure=None if first_exposure is None else first_exposure == "1",
        reward_micro=record.reward_micro if micro is None else int(micro) if micro else None,
    )
