"""Make sure that what this process acknowledged is still somewhere, whenever the store may have forgotten it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bandit_service.decisions.directory import Directory
from bandit_service.events.lane import Lane
from bandit_service.events.operations import Operation
from bandit_service.events.record import decode_record
from bandit_service.events.refill import Refiller
from bandit_service.experiments.definition import Experiment
from bandit_service.postgres_store.events import EventLog
from bandit_service.postgres_store.pool import PostgresUnavailableError
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.store import RedisStore, State

_PAGE = 2_000
log = structlog.get_logger(__name__)


class Reconciler:
    """Brings a lane and the store back into agreement, one task per lane at a time.

    A store without the experiment's epoch, with an older one, or with fewer events than Postgres has committed, is
    refilled. In a new epoch, what this process acknowledged and Postgres does not have is sent again. In the same
    epoch, after a new connection, what neither the stream nor Postgres has is sent again. `definition` asks Postgres.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        definition: Callable[[str], Awaitable[Experiment | None]],
        store: RedisStore,
        events: EventLog,
        refiller: Refiller,
        wake: Callable[[], None],
        pause: float = 0.1,
    ) -> None:
        self._directory = directory
        self._definition = definition
        self._store = store
        self._events = events
        self._refiller = refiller
        self._wake = wake
        self._pause = pause
        self._condemned: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, lane: Lane, *, refill: bool = False) -> None:
        """Reconcile a lane in the background; nothing is committed on it until that has succeeded.

        With `refill` the store's state is known not to be a continuation of what Postgres has, and is rebuilt.
        """
        lane.settling = True
        if refill:
            self._condemned.add(lane.experiment_id)
        if lane.experiment_id not in self._tasks:
            task = asyncio.create_task(self._until_settled(lane))
            self._tasks[lane.experiment_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(lane.experiment_id, None))

    async def settled(self, lane: Lane) -> None:
        """Wait until the lane is in agreement with the store."""
        task = self._tasks.get(lane.experiment_id)
        if task is not None:
            await asyncio.shield(task)

    async def close(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _until_settled(self, lane: Lane) -> None:
        delay = self._pause
        while True:
            try:
                if await self._settle(lane):
                    break
            except (StoreUnavailableError, StoreFullError) as error:
                delay = self._backoff(lane, error, delay)
            except PostgresUnavailableError as error:
                delay = self._backoff(lane, error, delay)
                await self._go_on_unverified(lane)
            except Exception:
                # An experiment whose task ended would stay closed for ever.
                log.exception("reconciliation_failed", experiment_id=lane.experiment_id)
                delay = min(2 * delay, 2.0)
            await asyncio.sleep(delay)
        lane.settling = lane.unverified = False
        self._wake()

    @staticmethod
    def _backoff(lane: Lane, error: Exception, delay: float) -> float:
        log.warning("reconciliation_waits", experiment_id=lane.experiment_id, reason=type(error).__name__)
        return min(2 * delay, 2.0)

    async def _go_on_unverified(self, lane: Lane) -> None:
        """Let a store in a known epoch go on although Postgres cannot be asked; release nothing meanwhile."""
        try:
            [state] = await self._store.states([lane.experiment_id])
        except (StoreUnavailableError, StoreFullError):
            return
        if lane.epoch is None and state.epoch is not None:
            lane.epoch = state.epoch
        if state.epoch is not None and state.epoch == lane.epoch and lane.experiment_id not in self._condemned:
            lane.unverified, lane.settling = True, False
            self._wake()

    async def _settle(self, lane: Lane) -> bool:
        """Take one step towards agreement; say whether it is reached."""
        if lane.in_flight:
            return False
        [state] = await self._store.states([lane.experiment_id])
        position = (await self._events.positions([lane.experiment_id])).get(lane.experiment_id)
        if position is None:
            log.error("experiment_unknown_to_postgres", experiment_id=lane.experiment_id)
            return False
        behind = state.epoch is None or (state.epoch, state.seq) < (position.epoch, position.committed_seq)
        if behind or lane.experiment_id in self._condemned:
            await self._refill(lane)
            return False
        if state.epoch is not None and lane.epoch != state.epoch:
            if not lane.settling:
                lane.settling = True
                return False
            await self._enter_epoch(lane, state.epoch)
        else:
            await self._verify(lane, state)
        return True

    async def _refill(self, lane: Lane) -> None:
        experiment = await self._definition(lane.experiment_id)
        if experiment is None:
            return
        known = self._directory.get(lane.experiment_id)
        epoch = await self._refiller.refill(experiment, known.allocation if known else None)
        if epoch is not None:
            self._condemned.discard(lane.experiment_id)
            await self._directory.refresh(lane.experiment_id)

    async def _enter_epoch(self, lane: Lane, epoch: int) -> None:
        """Send again what Postgres lacks: writers of earlier epochs are fenced off, so nothing else can arrive."""
        candidates = lane.unconfirmed()
        present = await self._events.present(lane.experiment_id, [operation.key for operation in candidates])
        lost = [operation for operation in candidates if operation.key not in present]
        if lost:
            log.warning("events_sent_again", experiment_id=lane.experiment_id, epoch=epoch, events=len(lost))
        lane.restart(epoch, lost)

    async def _verify(self, lane: Lane, state: State) -> None:
        """Look into the stream first, then Postgres: an event leaves the stream only after Postgres has it."""
        kept = [(seq, operation) for seq, operation in lane.retained if seq > lane.committed]
        missing = await self._not_in_stream(lane, kept, state)
        present = await self._events.present(lane.experiment_id, [operation.key for _, operation in missing])
        lost = [item for item in missing if item[1].key not in present]
        if lost:
            log.warning("events_sent_again", experiment_id=lane.experiment_id, epoch=lane.epoch, events=len(lost))
        lane.resend(lost)

    async def _not_in_stream(
        self, lane: Lane, kept: list[tuple[int, Operation]], state: State
    ) -> list[tuple[int, Operation]]:
        if not kept:
            return []
        in_stream: set[tuple[int, str]] = set()
        first = kept[0][0]
        while page := await self._store.events(lane.experiment_id, state.epoch or 0, first, _PAGE):
            in_stream.update((seq, decode_record(fields["p"]).decision_id) for seq, fields in page)
            first = page[-1][0] + 1
        return [item for item in kept if (item[0], item[1].record.decision_id) not in in_stream]
