"""Where every event of a process goes: written down in the spool or the ledger before it is acknowledged.

An event that is only recorded (a decision) is acknowledged by the spool and written to the ledger in the background. An
event that is decided (a reward) is acknowledged by the ledger, which knows whether it is the first of its key; while
the ledger does not answer it is queued in the spool, and decided when the ledger is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final

import structlog

from bandit_service.domain.event import Batch, Event
from bandit_service.ledger.errors import PostgresFullError, PostgresUnavailableError
from bandit_service.ledger.writer import LedgerWriter, OtherTimelineError
from bandit_service.spool.answers import Answer, Duplicate, Queued, TooManyWaitingError, UnrecordedError
from bandit_service.spool.backlog import Backlog
from bandit_service.spool.gathering import Gathering
from bandit_service.spool.packing import size_of
from bandit_service.spool.pending import Asked, Health, Limits, Pending, Stream, place, tell
from bandit_service.spool.stream import SpoolUnavailableError, StreamLostError
from bandit_service.spool.writing import MOST_ROWS, Writing

log = structlog.get_logger(__name__)

# Waiting for more rows makes a row in the background several times cheaper.
_GATHER_SECONDS: Final = 0.2
_LINGER: Final = 0.02
# About what an append and a statement of a hundred rows take.
_APPEND_SECONDS: Final = 0.002
_STATEMENT_SECONDS: Final = 0.008
# As many as a batch request holds, so that its items are decided in their order.
_MOST_ASKED: Final = 1_000
_RETRY: Final = 0.2


class Recorder:
    """Takes every event of the process. `run` does the work; `on_written` hears which experiments were written.

    Args:
        writer: Of the ledger.
        monotonic: A clock in seconds that never goes back.
        first_number: Where the numbers of batches begin: random, so that two processes do not share one.
    """

    def __init__(
        self,
        *,
        writer: LedgerWriter,
        monotonic: Callable[[], float],
        first_number: int,
        limits: Limits,
        on_written: Callable[[set[str]], None],
    ) -> None:
        self.writing = Writing(writer, monotonic=monotonic, on_written=on_written)
        self._number = first_number
        self._limits = limits
        self._recording = Gathering[tuple[tuple[Event, ...], asyncio.Future[bool]]](MOST_ROWS, longest=_APPEND_SECONDS)
        self._asking = Gathering[Asked](_MOST_ASKED, longest=_STATEMENT_SECONDS)
        self.backlog = Backlog()  # what the ledger does not have; a new stream begins with it
        self._pending_wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._under_way: dict[int, int] = {}
        self._waiting = 0
        self._size = 0  # in memory, if nothing that waits were packed
        self._closing = False
        self.stream: Stream | None = None
        self.others_follow = False
        self.spool_was_lost = False
        self.promises_from_ms = 0  # when the process was last registered: nothing closes ahead of what came since
        self.health = Health()
        self.dropped = 0

    def record(self, events: Sequence[Event]) -> asyncio.Future[bool]:
        """Take events that count whatever others do; the future tells whether they are written down.

        They are written down later if they are not now, unless this process ends or has no room.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not self._take_in(events):
            self.dropped += len(events)
            future.set_result(False)
            return future
        self._recording.add((tuple(events), future))
        return future

    def decide(
        self, events: Sequence[Event], *, respond_async: bool = False, may_wait: bool = True
    ) -> asyncio.Future[list[Answer]]:
        """Take events of which the first of a key decides; the future tells what became of each.

        The future raises UnrecordedError if no store took them in time; they may have been written all the same.
        `respond_async` queues them in the spool at once; without `may_wait` they are never queued.

        Raises:
            TooManyWaitingError: nothing was taken.
        """
        if not self._take_in(events):
            raise TooManyWaitingError
        answer: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._asking.add(Asked(self._batch(events), answer, respond_async, may_wait))
        return answer

    async def first(self, event: Event) -> Duplicate | None:
        """Return the event that has the key of this one, as what this one would be; None if there is none.

        Raises UnrecordedError if the ledger does not answer.
        """
        try:
            return await self.writing.first(event)
        except (PostgresUnavailableError, OtherTimelineError):
            raise UnrecordedError from None

    async def caught_up(self, seconds: float) -> None:
        """Return once the ledger has every event taken before this call, or after so many seconds."""
        deadline = asyncio.get_running_loop().time() + seconds
        recording = [future for _, future in self._recording]
        if recording:
            await asyncio.wait(recording, timeout=seconds)
        self._hurry.set()
        newest, under_way = self.backlog.newest, self._under_way.copy()
        while self.health.ledger and asyncio.get_running_loop().time() < deadline:
            if under_way.keys().isdisjoint(self._under_way) and self.backlog.oldest > newest:
                return
            await asyncio.sleep(_LINGER / 4)

    @property
    def waiting(self) -> int:
        """How many events the ledger does not have yet."""
        return self._waiting

    @property
    def is_idle(self) -> bool:
        return not (self._recording or self._asking or self.backlog or self._under_way)

    def oldest_ms(self) -> int | None:
        """Return when the oldest event was received that the ledger may not have yet."""
        taken_in = (*(events for events, _ in self._recording), *(asked.batch.events for asked in self._asking))
        waiting = (*(events[0].event_ms for events in taken_in), *self.backlog.oldest_ms(), *self._under_way.values())
        return min(waiting, default=None)

    def lose_stream(self) -> None:
        """Go on without the stream, of which nothing is left; who keeps the process registered begins another."""
        self.stream, self.spool_was_lost = None, True

    async def is_store_whole(self) -> bool:
        """Ask the store whether it has everything that it had; False if it has ever lost something, or does not say."""
        if self.stream is None or self.spool_was_lost:
            return False
        try:
            await self.stream.probe()
        except StreamLostError:
            self.lose_stream()
        except SpoolUnavailableError:
            return False
        return not self.spool_was_lost

    def close(self) -> None:
        """Ask `run` to end once everything is written."""
        self._closing = True
        self._recording.close()
        self._asking.close()
        self._pending_wake.set()
        self._hurry.set()

    async def run(self) -> None:
        """Write until closed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forever(self._spool_turn))
            tasks.create_task(self._forever(self._ask_turn))
            tasks.create_task(self._forever(self._pending_turn))

    async def _forever(self, turn: Callable[[], object]) -> None:
        while not (self._closing and self.is_idle):
            try:
                await turn()  # type: ignore[misc]  # every turn is a coroutine function
            except Exception:
                # A loop that ended would leave its callers waiting.
                log.exception("recording_failed")
                await asyncio.sleep(_RETRY)

    async def _spool_turn(self) -> None:
        if self._closing and not self._recording:
            await asyncio.sleep(_LINGER)
            return
        await self._recording.gathered()
        taken: list[asyncio.Future[bool]] = []
        events: list[Event] = []
        while self._recording and len(events) < MOST_ROWS:
            some, future = self._recording.pop()
            taken.append(future)
            events += some
        if not taken:
            return
        batch = self._batch(events)
        with self._recording.handled(len(taken)), self._on_its_way(batch.number, events[0].event_ms):
            entry = await self._append(batch)
            if entry is not None:
                for future in taken:
                    tell(future, recorded=True)
                self._pend(Pending(batch, entry))
                return
            recorded: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._pend(Pending(batch, None, recorded))
            self._hurry.set()
        await self._wait_for_ledger(recorded, taken)

    async def _wait_for_ledger(self, recorded: asyncio.Future[bool], waiting: Iterable[asyncio.Future[bool]]) -> None:
        """Without the spool the ledger acknowledges, if it answers while the caller still waits."""
        seconds = self._limits.patience if self.health.ledger else 0.0
        done, _ = await asyncio.wait([recorded], timeout=seconds)
        if not done:
            # Nobody hears of it any more, so it may be packed.
            recorded.cancel()
        for future in waiting:
            tell(future, recorded=bool(done) and recorded.result())

    async def _append(self, batch: Batch) -> str | None:
        """Append a batch to the process's stream; None if the store does not take it."""
        stream = self.stream  # it may be lost, and another one begun, while this waits
        if stream is None or self.health.spool_is_away.is_set():
            return None
        try:
            try:
                entry = await stream.append(batch)
            except SpoolUnavailableError:
                # One slow answer is no outage, and without the ledger nobody else takes the events.
                if self.health.ledger:
                    raise
                entry = await stream.append(batch)
        except StreamLostError:
            self.lose_stream()
        except SpoolUnavailableError as error:
            # Whoever keeps this process registered finds out when the store is back.
            log.warning("spool_unavailable", reason=str(error))
            self.health.spool = False
        except Exception:
            # Whatever it is: the callers must not wait for ever, nor other events for these.
            log.exception("appending_failed")
        else:
            # One that was begun meanwhile may belong to a process that counts as ended: it promises nothing.
            return entry if self.stream is stream else None
        return None

    async def _ask_turn(self) -> None:
        if self._closing and not self._asking:
            await asyncio.sleep(_LINGER)
            return
        await self._asking.gathered()
        asked: list[Asked] = []
        while self._asking and len(asked) < _MOST_ASKED:
            each = self._asking.pop()
            if each.answer.done():
                # Its caller has gone.
                self._let_go(each.batch)
            else:
                asked.append(each)
        if not asked:
            return
        oldest_ms = min(event.event_ms for each in asked for event in each.batch.events)
        with self._asking.handled(len(asked)), self._on_its_way(asked[0].batch.number, oldest_ms):
            await self._answer(asked)

    @contextmanager
    def _on_its_way(self, number: int, oldest_ms: int) -> Iterator[None]:
        """Note when the oldest event of a batch was received, while the batch is between two places."""
        self._under_way[number] = oldest_ms
        try:
            yield
        finally:
            del self._under_way[number]

    async def _answer(self, asked: Sequence[Asked]) -> None:
        # What is to be queued, and cannot be, is decided like the rest.
        asked = [each for each in asked if not (each.respond_async and await self._queue(each))]
        # The ledger cannot tell which event of a key is the first while others, or this process, still write theirs
        # again: nothing may come between this look and the statement.
        was_sent = self.health.ledger and self.others_follow
        if not asked or (was_sent and await self._ask_ledger(asked)):
            return
        for each in asked:
            if not await self._queue(each):
                self._let_go(each.batch)
                each.give_up(was_sent=was_sent)

    async def _ask_ledger(self, asked: Sequence[Asked]) -> bool:
        """Have the ledger decide; return False if it does not answer."""
        rows = [row for each in asked for row in each.batch.rows]
        try:
            answers = await self.writing.write(rows, seconds=self._limits.patience, is_answered=True)
        except (PostgresUnavailableError, OtherTimelineError) as error:
            self._lose_ledger(error)
            return False
        except Exception:
            # Whatever it is: the callers must not wait for ever.
            log.exception("asking_failed")
            return False
        self._find_ledger()
        left = iter(answers)
        for each in asked:
            self._let_go(each.batch)
            each.settle(list(islice(left, len(each.batch.events))))
        return True

    def _lose_ledger(self, error: Exception) -> None:
        """Go on without the ledger until a heartbeat, or a batch where there was no room for one, says otherwise."""
        if self.health.ledger:
            log.warning("ledger_unavailable", reason=str(error) or type(error).__name__)
        self.health.ledger = False
        self.health.room = self.health.room and not isinstance(error, PostgresFullError)

    def _find_ledger(self) -> None:
        """Go on with a ledger that has just taken a batch for which it had no room."""
        if not self.health.room:
            self.health.room, self.health.ledger = True, self.health.beats

    async def _queue(self, asked: Asked) -> bool:
        """Write events down in the spool, to be decided when the ledger is back; return whether that was done."""
        # While this process counted as ended, a window may have been closed.
        if not asked.may_wait or asked.batch.events[0].event_ms < self.promises_from_ms:
            return False
        # A claim on an own id in the store is enough while the ledger is away, if the store has lost no other claims.
        if asked.is_own_decision and (self.health.beats or not await self.is_store_whole()):
            return False
        entry = await self._append(asked.batch)
        if entry is None:
            return False
        self._pend(Pending(asked.batch, entry))
        asked.settle([Queued()] * len(asked.batch.events))
        return True

    async def _pending_turn(self) -> None:
        ready = self._ready()
        if not ready:
            self._pending_wake.clear()
            if self._closing:
                await asyncio.sleep(_LINGER)
                return
            if self.backlog:
                # Rewards that wait until every process has written again: nobody wakes this one up for them.
                await asyncio.sleep(_RETRY)
            else:
                await self._pending_wake.wait()
            return
        await self._gathered()
        ready = self._ready()
        rows = [row for pending in ready for row in pending.batch.rows]
        entries = [pending.entry for pending in ready if pending.entry is not None]
        try:
            await self.writing.write(rows, entry=max(entries, key=place, default=None))
        except (PostgresUnavailableError, OtherTimelineError) as error:
            log.debug("waiting_for_ledger", reason=str(error))
            if isinstance(error, PostgresFullError | OtherTimelineError):
                self._lose_ledger(error)
            await asyncio.sleep(_RETRY)
            return
        self._find_ledger()
        self.backlog.take_off(ready)
        for pending in ready:
            self._let_go(pending.batch)
            if pending.recorded is not None:
                tell(pending.recorded, recorded=True)

    async def _gathered(self) -> None:
        """Wait for more rows, unless there are many or somebody wants to read what is written."""
        if self._waiting < MOST_ROWS and not self._closing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), _GATHER_SECONDS)
        if not self._closing:
            self._hurry.clear()

    def _ready(self) -> list[Pending]:
        """Return the oldest batches that may be written now."""
        return self.backlog.ready(decided=self.others_follow) if self.writing.timeline else []

    def _pend(self, pending: Pending) -> None:
        self.backlog.add(pending)
        self._pending_wake.set()

    def _take_in(self, events: Sequence[Event]) -> bool:
        """Count events as waiting; return False if there is no room for them."""
        size = size_of(events)
        if self._size - self.backlog.saved + size > self._limits.memory:
            return False
        self._waiting += len(events)
        self._size += size
        return True

    def _let_go(self, batch: Batch) -> None:
        self._waiting -= len(batch.events)
        self._size -= size_of(batch.events)

    def _batch(self, events: Sequence[Event]) -> Batch:
        self._number += 1
        return Batch(self._number, tuple(events))
