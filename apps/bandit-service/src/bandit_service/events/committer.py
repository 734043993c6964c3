"""Group commit: requests that wait at the same time share one round trip to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from redis.exceptions import NoScriptError

from bandit_service.events.lane import Lane, Reply
from bandit_service.events.operations import UNRECORDED, Operation
from bandit_service.redis_store.clock import StoreClock
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.errors import StoreUnavailableError

READY = 0
_REST_SECONDS = 0.1
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a process holds: operations waiting, a batch's size, and events kept per experiment."""

    waiting: int = 50_000
    batch: int = 500
    retained: int = 200_000


class QueueFullError(Exception):
    """More operations wait for the store than this process may hold."""


class Committer:
    """Owns the lanes and the one connection their batches travel on.

    `on_reply` hears every successful answer of the store (new weights, a new revision); `on_unready` hears that an
    experiment must be refilled or has another epoch, and must see to it that `lane.restart` is called.
    """

    def __init__(
        self,
        connection: PipelinedConnection,
        *,
        producer: str,
        clock: StoreClock,
        limits: Limits,
        on_reply: Callable[[Lane, Reply], None],
        on_unready: Callable[[Lane], None],
        on_reconnect: Callable[[Lane], None],
    ) -> None:
        self._connection = connection
        self._producer = producer
        self._clock = clock
        self._limits = limits
        self._on_reply = on_reply
        self._on_unready = on_unready
        self._on_reconnect = on_reconnect
        self._wake = asyncio.Event()
        self._closing = False
        self.available = True
        self.full = False
        self.dropped = 0
        self.lanes: dict[str, Lane] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many operations wait for the store, those under way not counted."""
        return sum(len(lane.queue) for lane in self.lanes.values())

    def lane(self, experiment_id: str, reward_window: float) -> Lane:
        """Return the lane of an experiment; markers outlive its reward window by an hour."""
        lane = self.lanes.get(experiment_id)
        if lane is None:
            life_ms = round((reward_window + 3_600) * 1_000)
            lane = Lane(experiment_id, self._producer, marker_life_ms=life_ms, retain_limit=self._limits.retained)
            lane.checked_generation = max(1, self._connection.generation)
            self.lanes[experiment_id] = lane
        return lane

    def submit(self, lane: Lane, operation: Operation) -> asyncio.Future[int]:
        """Hand in an operation; the future tells its outcome, UNRECORDED if the store does not answer.

        Raises:
            QueueFullError: too many operations wait already; nothing was taken.
        """
        if self._waiting >= self._limits.waiting:
            self._waiting = self.waiting
            if self._waiting >= self._limits.waiting:
                raise QueueFullError
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if not (self.available and lane.is_open):
            future.set_result(UNRECORDED)
            if not operation.waits_out_outages:
                return future
        else:
            operation.future = future
        lane.queue.append(operation)
        self._waiting += 1
        self._wake.set()
        return future

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Commit until closed; returns once nothing is left to commit or the store is away."""
        while True:
            lanes = [lane for lane in self.lanes.values() if lane.has_work]
            if not lanes:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            if not await self._commit(lanes) and self._closing:
                return

    def close(self) -> None:
        """Ask `run` to end after what waits has been committed."""
        self._closing = True
        self._wake.set()

    async def _commit(self, lanes: list[Lane]) -> bool:
        batches = [lane.next_batch(self._limits.batch) for lane in lanes]
        for lane in lanes:
            lane.in_flight = True
        asked = self._clock.local()
        try:
            answers = await self._connection.execute([batch.command for batch in batches])
        except StoreUnavailableError as error:
            for lane in lanes:
                lane.in_flight = False
            await self._outage(str(error))
            return False
        self._waiting = self.waiting
        self._notice_reconnection()
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._connection.close()
        answered = self._clock.local()
        for lane, answer in zip(lanes, answers, strict=True):
            lane.in_flight = False
            if isinstance(answer, list):
                reply = Reply.parse(answer)
                self._clock.observe(reply.now_ms, asked, answered)
                self._take(lane, reply)
            else:
                self._refused(lane, answer)
        return True

    def _take(self, lane: Lane, reply: Reply) -> None:
        self.full = False
        if reply.status == READY:
            lane.succeed(reply)
            self._on_reply(lane, reply)
        else:
            self.dropped += lane.unanswered()
            lane.settling = True
            self._on_unready(lane)

    def _refused(self, lane: Lane, answer: object) -> None:
        """Handle an error answer: nothing of the batch was applied, and it is sent again after a rest."""
        self.full = "OOM" in str(answer)
        if not isinstance(answer, NoScriptError):
            self.dropped += lane.unanswered()
            log.error("commit_refused", experiment_id=lane.experiment_id, error=str(answer))
        lane.resting = True
        asyncio.get_running_loop().call_later(_REST_SECONDS, self._resume, lane)

    def _resume(self, lane: Lane) -> None:
        lane.resting = False
        self._wake.set()

    async def _outage(self, reason: str) -> None:
        """Answer everybody now, then try the store again until it is back."""
        log.warning("store_unavailable", reason=reason)
        self.available = False
        for lane in self.lanes.values():
            self.dropped += lane.unanswered()
        delay = 0.05
        while not self._closing:
            await asyncio.sleep(delay)
            delay = min(2 * delay, 1.0)
            try:
                await self._connection.execute([("PING",)])
            except StoreUnavailableError:
                continue
            break
        else:
            return
        log.info("store_available")
        self.available = True
        self._notice_reconnection()

    def _notice_reconnection(self) -> None:
        for lane in self.lanes.values():
            if lane.checked_generation != self._connection.generation:
                lane.checked_generation = self._connection.generation
                lane.settling = True
                self._on_reconnect(lane)
