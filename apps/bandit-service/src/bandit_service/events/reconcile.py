"""Make sure that what this process acknowledged is still somewhere, whenever the store may have forgotten it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import batched
from typing import Final

import structlog

from bandit_service.domain.event import EventKey, decode_record
from bandit_service.domain.experiment import Experiment
from bandit_service.events.lane import Lane
from bandit_service.events.operations import Operation
from bandit_service.events.refill import Refiller
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.events import EventLog, Position
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.state import Head
from bandit_service.redis_store.store import RedisStore
from bandit_service.serving.directory import Directory

_PAGE: Final = 2_000
_AT_ONCE: Final = 4
_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_PATIENCE: Final = 1.0
_POSTGRES_REST: Final = 1.0
log = structlog.get_logger(__name__)


class Reconciler:
    """Brings a lane and the store back into agreement, one task per lane at a time.

    A store that is not in the experiment's epoch, or has fewer events than Postgres has committed, is refilled. In a
    new epoch, what this process acknowledged and Postgres does not have is sent again; in the same epoch, what neither
    the stream nor Postgres has. A store that was told of commits which Postgres does not know is not touched: Postgres
    is the older one then.

    `definition` asks Postgres. A lane that was open before counts as recovering for `recovery_seconds` afterwards.
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
        recovery_seconds: float = 5.0,
    ) -> None:
        self._directory = directory
        self._definition = definition
        self._store = store
        self._events = events
        self._refiller = refiller
        self._wake = wake
        self._recovery_seconds = recovery_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._ask_postgres_from = 0.0
        self._doubted: set[str] = set()
        self._condemned: set[str] = set()
        self._ahead: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._recoveries: dict[str, asyncio.TimerHandle] = {}

    def start(self, lane: Lane, *, refill: bool = False) -> None:
        """Reconcile a lane in the background; nothing is committed on it until that has succeeded.

        With `refill` the store's state is known not to be a continuation of what Postgres has, and is rebuilt.
        """
        name = lane.experiment_id
        lane.settling = True
        lane.recovering = lane.epoch is not None
        self._doubted.add(name)
        if refill:
            self._condemned.add(name)
        if name not in self._tasks:
            task = asyncio.create_task(self._until_settled(lane))
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    @property
    def postgres_is_older(self) -> bool:
        """Whether Postgres lacks events of some experiment that it had committed once."""
        return bool(self._ahead)

    async def settled(self, lane: Lane) -> None:
        """Wait until the lane is in agreement with the store."""
        task = self._tasks.get(lane.experiment_id)
        if task is not None:
            await asyncio.shield(task)

    async def close(self) -> None:
        for handle in self._recoveries.values():
            handle.cancel()
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _until_settled(self, lane: Lane) -> None:
        # Whoever waits for an answer on this lane is not kept waiting for as long as an outage may last.
        patience = asyncio.get_running_loop().call_later(_PATIENCE, lane.unanswered)
        pause = _SHORTEST_PAUSE
        try:
            while lane.experiment_id in self._doubted:
                self._doubted.discard(lane.experiment_id)
                if not await self._attempt(lane):
                    self._doubted.add(lane.experiment_id)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            patience.cancel()
        lane.settling = lane.unverified = False
        self._ahead.discard(lane.experiment_id)
        self._recover(lane)
        self._wake()

    def _recover(self, lane: Lane) -> None:
        """Let other processes send again what they had acknowledged, before the lane counts as recovered."""
        if lane.recovering:
            earlier = self._recoveries.pop(lane.experiment_id, None)
            if earlier is not None:
                earlier.cancel()
            loop = asyncio.get_running_loop()
            self._recoveries[lane.experiment_id] = loop.call_later(self._recovery_seconds, self._recovered, lane)

    def _recovered(self, lane: Lane) -> None:
        del self._recoveries[lane.experiment_id]
        if lane.experiment_id in self._ahead or not (lane.settling or lane.unverified):
            lane.recovered()
            self._wake()

    async def _attempt(self, lane: Lane) -> bool:
        """Take one step towards agreement; say whether it is reached."""
        try:
            async with self._turns:
                return await self._settle(lane)
        except (StoreUnavailableError, StoreFullError) as error:
            log.warning("reconciliation_waits", experiment_id=lane.experiment_id, reason=type(error).__name__)
        except PostgresUnavailableError as error:
            log.warning("reconciliation_waits", experiment_id=lane.experiment_id, reason=type(error).__name__)
            # The lanes that stand in line behind this one need not all wait for the same connection.
            self._ask_postgres_from = asyncio.get_running_loop().time() + _POSTGRES_REST
            await self._go_on_unverified(lane)
        except Exception:
            # An experiment whose task ended would stay closed for ever.
            log.exception("reconciliation_failed", experiment_id=lane.experiment_id)
        return False

    async def _go_on_unverified(self, lane: Lane) -> None:
        """Let a store in a known epoch go on although Postgres cannot be asked; release nothing meanwhile.

        Not if the store has fewer events than this process knows of: then it came back older, and going on would bury
        what is missing.
        """
        try:
            head = await self._store.head(lane.experiment_id)
        except (StoreUnavailableError, StoreFullError):
            return
        if head.epoch is None or lane.experiment_id in self._condemned:
            return
        if lane.epoch is None:
            lane.epoch = head.epoch
        if head.epoch == lane.epoch and head.seq >= lane.known_seq:
            lane.unverified, lane.settling = True, False
            self._wake()

    async def _settle(self, lane: Lane) -> bool:
        if asyncio.get_running_loop().time() < self._ask_postgres_from:
            raise PostgresUnavailableError("Postgres did not answer a moment ago")
        # Postgres is asked first, and waits for whoever is writing: what it has then, the store must have had before.
        position = await self._events.position(lane.experiment_id)
        if position is None:
            log.error("experiment_unknown_to_postgres", experiment_id=lane.experiment_id)
            return False
        if await self._is_ahead_of_postgres(lane, position):
            await self._spare(lane)
            return False
        lane.settling = True
        head = await self._store.head(lane.experiment_id)
        if lane.in_flight or _is_past(head, position):
            return False  # What was under way, or another process' refill, has overtaken the answer of Postgres.
        if lane.experiment_id in self._condemned or not _continues(head, position):
            await self._refill(lane)
            return False
        if head.epoch is not None and lane.epoch != head.epoch:
            await self._enter_epoch(lane, head.epoch)
        else:
            await self._verify(lane)
        return True

    async def _is_ahead_of_postgres(self, lane: Lane, position: Position) -> bool:
        """Say whether Postgres lacks what it had committed: restored, or failed over to a copy that was behind."""
        head = await self._store.head(lane.experiment_id)
        if not _is_past(head, position):
            return False
        again = await self._events.position(lane.experiment_id)
        return again is not None and _is_past(head, again)

    async def _spare(self, lane: Lane) -> None:
        """Leave the store's newer beliefs alone, and serve from them, until somebody decides what is true."""
        name = lane.experiment_id
        self._condemned.discard(name)
        if name not in self._ahead:
            log.error("postgres_is_older_than_the_store", experiment_id=name)
            self._ahead.add(name)
            self._recover(lane)
        await self._go_on_unverified(lane)

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
        present = await self._present(lane, candidates)
        lost = [operation for operation in candidates if operation.key not in present]
        self._tell(lane, epoch, len(lost))
        lane.restart(epoch, lost)

    async def _verify(self, lane: Lane) -> None:
        """Look into the stream first, then Postgres: an event leaves the stream only after Postgres has it."""
        kept = [(seq, operation) for seq, operation in lane.retained if seq > lane.committed]
        missing = await self._not_in_stream(lane, kept)
        present = await self._present(lane, [operation for _, operation in missing])
        lost = [item for item in missing if item[1].key not in present]
        self._tell(lane, lane.epoch, len(lost))
        lane.resend(lost)

    async def _not_in_stream(self, lane: Lane, kept: list[tuple[int, Operation]]) -> list[tuple[int, Operation]]:
        if not kept:
            return []
        in_stream: set[tuple[int, str, str]] = set()
        first = kept[0][0]
        while page := await self._store.events(lane.experiment_id, lane.epoch or 0, first, _PAGE):
            in_stream.update((seq, fields["k"], decode_record(fields["p"]).decision_id) for seq, fields in page)
            first = page[-1][0] + 1
        return [item for item in kept if (item[0], item[1].kind, item[1].record.decision_id) not in in_stream]

    async def _present(self, lane: Lane, operations: list[Operation]) -> set[EventKey]:
        present: set[EventKey] = set()
        for page in batched(operations, _PAGE):
            present |= await self._events.present(lane.experiment_id, [operation.key for operation in page])
        return present

    @staticmethod
    def _tell(lane: Lane, epoch: int | None, lost: int) -> None:
        if lost:
            log.warning("events_sent_again", experiment_id=lane.experiment_id, epoch=epoch, events=lost)


def _is_past(head: Head, position: Position) -> bool:
    """Say whether the store was told of commits that Postgres does not know."""
    return head.epoch is not None and (head.epoch, head.committed) > (position.epoch, position.committed_seq)


def _continues(head: Head, position: Position) -> bool:
    """Say whether the store holds everything that Postgres has committed."""
    return head.epoch == position.epoch and head.seq >= position.committed_seq
