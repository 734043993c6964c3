"""Group commit: requests that wait at the same time share one round trip to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from redis.exceptions import NoScriptError

from bandit_service.events.lane import Lane, Reply
from bandit_service.events.operations import UNRECORDED, Operation
from bandit_service.redis_store.clock import StoreClock
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.errors import StoreUnavailableError, means_full

READY: Final = 0
_REST_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 1.0
_LONGEST_RETRY: Final = 1.0
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

    `on_reply` hears every successful answer of the store (new weights, a new revision). `on_doubt` hears that a lane
    and the store may not agree any more: the store is not ready or in another epoch, or there was a new connection and
    the store was restarted, as far as can be seen. Nothing is committed then before every lane has been doubted.
    """

    def __init__(
        self,
        connection: PipelinedConnection,
        *,
        producer: str,
        clock: StoreClock,
        limits: Limits,
        on_reply: Callable[[Lane, Reply], None],
        on_doubt: Callable[[Lane], None],
    ) -> None:
        self._connection = connection
        self._producer = producer
        self._clock = clock
        self._limits = limits
        self._on_reply = on_reply
        self._on_doubt = on_doubt
        self._wake = asyncio.Event()
        self._look_is_due = True
        self._next_look: asyncio.TimerHandle | None = None
        self._asking: list[asyncio.Future[bool]] = []
        self._closing = False
        self.available = True
        self.full = False
        self.lanes: dict[str, Lane] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many operations wait for the store, those under way not counted."""
        return sum(lane.waiting for lane in self.lanes.values())

    def lane(self, experiment_id: str, reward_window: float) -> Lane:
        """Return the lane of an experiment; markers outlive its reward window by an hour."""
        lane = self.lanes.get(experiment_id)
        if lane is None:
            life_ms = round((reward_window + 3_600) * 1_000)
            lane = Lane(experiment_id, self._producer, marker_life_ms=life_ms, retain_limit=self._limits.retained)
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

    async def is_the_same_store(self) -> bool:
        """Say whether whoever answered just now, on any connection, is the store that the lanes know.

        If a round trip on the commits' connection succeeds after that answer, it is; otherwise that is in doubt.
        """
        if not self.available or self._closing:
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asking.append(answer)
        self._ask_for_look()
        return await answer

    async def run(self) -> None:
        """Commit until closed; returns once nothing is left to commit, or the store is away then."""
        try:
            await self._until_closed()
        finally:
            self._answer_asking(same=False)

    async def _until_closed(self) -> None:
        while not (self._closing and all(lane.is_empty for lane in self.lanes.values())):
            try:
                await self._open()
                await self._turn()
            except StoreUnavailableError as error:
                await self._outage(str(error))
                if self._closing:
                    return
            except Exception:
                # A loop that ended would leave everyone who asks waiting for ever.
                log.exception("commit_failed")
                for lane in self.lanes.values():
                    lane.unanswered()
                await asyncio.sleep(_REST_SECONDS)

    def close(self) -> None:
        """Ask `run` to end after what waits has been committed."""
        for lane in self.lanes.values():
            lane.recovered()
        self._closing = True
        self._wake.set()

    async def look(self) -> None:
        """Notice a broken connection even when there is nothing to commit, and release what Postgres has by now.

        Raises:
            StoreUnavailableError: the connection is broken. Not to be called from outside while `run` runs.
        """
        lanes = [lane for lane in self.lanes.values() if lane.retained]
        asked = self._clock.local()
        (seconds, micros), *answers = await self._connection.execute(
            [("TIME",), *(("HMGET", lane.keys.state, "epoch", "committed") for lane in lanes)]
        )
        self._clock.observe(int(seconds) * 1_000 + int(micros) // 1_000, asked, self._clock.local())
        for lane, answer in zip(lanes, answers, strict=True):
            if isinstance(answer, list) and answer[0] is not None and int(answer[0]) == lane.epoch:
                lane.release(int(answer[1] or 0))

    async def _open(self) -> None:
        is_another = await self._connection.open()
        self.available = True
        if is_another:
            for lane in self.lanes.values():
                self._on_doubt(lane)

    async def _turn(self) -> None:
        if self._look_is_due:
            self._look_is_due = False
            self._plan_look()
            await self.look()
            self._answer_asking(same=True)
        lanes = [lane for lane in self.lanes.values() if lane.has_work]
        if lanes:
            await self._commit(lanes)
        else:
            self._wake.clear()
            await self._wake.wait()

    def _plan_look(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._ask_for_look)

    def _ask_for_look(self) -> None:
        self._look_is_due = True
        self._wake.set()

    def _answer_asking(self, *, same: bool) -> None:
        for answer in self._asking:
            if not answer.done():
                answer.set_result(same)
        self._asking.clear()

    async def _commit(self, lanes: list[Lane]) -> None:
        batches = [lane.next_batch(self._limits.batch) for lane in lanes]
        for lane in lanes:
            lane.in_flight = True
        asked = self._clock.local()
        try:
            answers = await self._connection.execute([batch.command for batch in batches])
        finally:
            for lane in lanes:
                lane.in_flight = False
        self._waiting = self.waiting
        answered = self._clock.local()
        for lane, answer in zip(lanes, answers, strict=True):
            if isinstance(answer, list):
                reply = Reply.parse(answer)
                self._clock.observe(reply.now_ms, asked, answered)
                self._take(lane, reply)
            elif not isinstance(answer, NoScriptError):
                self._refused(lane, answer)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._connection.teach()

    def _take(self, lane: Lane, reply: Reply) -> None:
        self.full = False
        if reply.status == READY:
            lane.succeed(reply)
            self._on_reply(lane, reply)
        else:
            lane.unanswered()
            self._on_doubt(lane)

    def _refused(self, lane: Lane, answer: Exception) -> None:
        """Handle an error answer: nothing of the batch was applied, and it is sent again after a rest."""
        was_full, self.full = self.full, means_full(answer)
        if not (was_full and self.full):
            log.error("commit_refused", experiment_id=lane.experiment_id, error=str(answer))
        lane.unanswered()
        lane.resting = True
        asyncio.get_running_loop().call_later(_REST_SECONDS, self._resume, lane)

    def _resume(self, lane: Lane) -> None:
        lane.resting = False
        self._wake.set()

    async def _outage(self, reason: str) -> None:
        """Answer everybody now, then try the store again until it is back."""
        log.warning("store_unavailable", reason=reason)
        self.available = False
        self._answer_asking(same=False)
        for lane in self.lanes.values():
            lane.unanswered()
        delay = 0.05
        while not self._closing:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_RETRY)
            try:
                await self._open()
            except StoreUnavailableError:
                continue
            log.info("store_available")
            return
