"""Keeps a process registered: its heartbeat, its stream, Postgres's timeline, and the streams of ended processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from bandit_service.domain.clock import AnchoredClock
from bandit_service.domain.event import Batch, batches_of
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.producers import Beat, Producers
from bandit_service.ledger.slots import slot_at
from bandit_service.ledger.writer import OtherTimelineError
from bandit_service.spool.pending import place
from bandit_service.spool.pickup import Pickup
from bandit_service.spool.recorder import Recorder
from bandit_service.spool.stream import OwnStream, SpoolUnavailableError, StreamLostError, Streams

log = structlog.get_logger(__name__)

BEAT_EVERY: Final = 0.5
PICK_UP_EVERY: Final = 2.0
_PROBE_EVERY: Final = 0.1
# A clock is anchored to Postgres's with an error of at most half a round trip.
_CLOCK_ERROR_MS: Final = 200


class Keeper:
    """Looks after one process's place in the ledger and the spool.

    Args:
        new_name: Returns a name that no process has ever had.
        on_named: Called with each name that the process gets.
        on_slot: Called with the slot whose sums the process raises, whenever that may have changed.
        dead_after: Seconds without a heartbeat after which others take a process for dead.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        producers: Producers,
        streams: Streams,
        pickup: Pickup,
        clock: AnchoredClock,
        monotonic: Callable[[], float],
        new_name: Callable[[], str],
        on_named: Callable[[str], None],
        on_slot: Callable[[int], None],
        dead_after: float,
    ) -> None:
        self._recorder = recorder
        self._on_slot = on_slot
        self._place = 0
        self._producers = producers
        self._streams = streams
        self._pickup = pickup
        self._clock = clock
        self._monotonic = monotonic
        self._new_name = new_name
        self._on_named = on_named
        self._dead_after = dead_after
        self._stopping = asyncio.Event()
        self._written_again_on = ""
        # Since when Postgres has answered, on this timeline.
        self._reached_since: float | None = None
        self._pick_up = asyncio.Event()
        self._beaten_at = -1e9
        self.name: str | None = None

    @property
    def silent_for(self) -> float:
        """Seconds since the ledger last took a heartbeat: leases count only while that is short."""
        return self._monotonic() - self._beaten_at

    async def run(self) -> None:
        """Beat, and look after the streams of ended processes, until stopped."""
        async with asyncio.TaskGroup() as tasks:
            # Writing what a process left takes longer than others wait for a beat.
            beside = [
                tasks.create_task(self._pick_up_for_ever()),
                # Nor does Redis, after one slow answer, stay unused while a beat waits for a Postgres that is away.
                tasks.create_task(self._probe_for_ever()),
            ]
            await self._beat_until_stopped()
            for task in beside:
                task.cancel()

    async def _beat_until_stopped(self) -> None:
        while not self._stopping.is_set():
            await self.beat()
            try:
                await asyncio.wait_for(self._stopping.wait(), BEAT_EVERY)
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stopping.set()

    async def beat(self) -> None:
        """Do what is due, and note which stores answer."""
        health = self._recorder.health
        health.beats = await self._reaches_ledger()
        if not health.beats:
            health.ledger = False
            self._reached_since = None
        health.spool = await self._reaches_spool()
        # Only now: who answers from the ledger is in the set of streams, where a failover does not lose its name.
        # Where there was no room the batches that wait find out when there is some; without any a reward has to.
        health.ledger = health.beats and (health.room or self._recorder.is_idle)

    async def _reaches_ledger(self) -> bool:
        try:
            await self._beat_ledger()
        except (PostgresUnavailableError, OtherTimelineError) as error:
            if self._recorder.health.ledger:
                log.warning("ledger_unavailable", reason=str(error))
            return False
        except Exception:
            # A keeper that ended would let this process's leases go, and its stream to others.
            log.exception("heartbeat_failed")
            return False
        return True

    async def _reaches_spool(self) -> bool:
        try:
            await self._beat_spool()
        except (SpoolUnavailableError, PostgresUnavailableError, OtherTimelineError) as error:
            log.debug("spool_unavailable", reason=str(error))
            return False
        except Exception:
            log.exception("spool_beat_failed")
            return False
        return self._recorder.stream is not None

    async def _probe_for_ever(self) -> None:
        """See at once when a stream can be appended to again."""
        recorder = self._recorder
        while True:
            await recorder.health.spool_is_away.wait()
            await asyncio.sleep(_PROBE_EVERY)
            stream, name = recorder.stream, self.name
            if recorder.health.spool or stream is None or name is None:
                continue
            try:
                await self._streams.probe(name)
            except SpoolUnavailableError as error:
                log.debug("spool_unavailable", reason=str(error))
            except StreamLostError:
                # The next beat begins another one.
                if recorder.stream is stream:
                    recorder.lose_stream()
            except Exception:
                log.exception("probing_failed")
            else:
                recorder.health.spool = recorder.stream is stream

    async def _pick_up_for_ever(self) -> None:
        while True:
            try:
                await self._pick_up_once()
            except (SpoolUnavailableError, PostgresUnavailableError, OtherTimelineError) as error:
                log.debug("not_picked_up", reason=str(error))
            except Exception:
                log.exception("pickup_failed")
            self._pick_up.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pick_up.wait(), PICK_UP_EVERY)

    async def _pick_up_once(self) -> None:
        """Look for ended processes once."""
        recorder = self._recorder
        if self.name is None or not recorder.health.beats:
            return
        # After an outage, or a failover, every heartbeat is old until its process has had the time for another one.
        reached = self._reached_since
        judges = reached is not None and self._monotonic() - reached >= self._dead_after
        judges_on = self._written_again_on if judges else None
        await self._pickup.turn(self.name, judges_on=judges_on, may_drain=lambda: recorder.others_follow)

    async def leave(self) -> None:
        """Take the process's name out of both stores, if no other process has anything to do for it.

        Otherwise another one finds it silent, writes what is in its stream, and keeps that for a minute. So a failover
        just after this end loses nothing.
        """
        if self.name is None or not self._recorder.is_idle:
            return
        kept = self._recorder.writing.kept
        kept.forget(self._monotonic())
        try:
            if kept.count:
                # In place of what is in the stream: all of that is kept, or too old to matter.
                await self._streams.replace(self.name, batches_of(kept))
                return
            await self._streams.forget(self.name)
            await self._producers.remove(self.name)
        except (SpoolUnavailableError, StreamLostError, PostgresUnavailableError) as error:
            log.debug("not_left", reason=str(error))

    async def _beat_ledger(self) -> None:
        if self.name is None:
            await self._register()
        oldest_ms = self._recorder.oldest_ms()
        now_ms = round(self._clock() * 1_000) - _CLOCK_ERROR_MS
        asked = self._clock.local()
        beat = await self._producers.heartbeat(
            self.name or "",
            drained_to_ms=now_ms if oldest_ms is None else min(now_ms, oldest_ms - _CLOCK_ERROR_MS),
            timeline=self._written_again_on,
            dead_after=self._dead_after,
        )
        if beat is None:
            log.warning("declared_dead", name=self.name)
            self.name, self._recorder.stream = None, None
            return
        self._clock.observe(beat.now_ms, asked, self._clock.local())
        self._on_slot(slot_at(self._place, beat.now_ms))
        self._beaten_at = self._monotonic()
        if self._reached_since is None:
            self._reached_since = self._beaten_at
        await self._follow(beat)

    async def _follow(self, beat: Beat) -> None:
        """Go on on Postgres's timeline, and let rewards be decided once every process has written again on it."""
        recorder = self._recorder
        if beat.timeline != self._written_again_on:
            await self._write_again(beat.timeline)
            return
        recorder.others_follow = beat.is_whole
        newest = recorder.writing.kept.forget(self._monotonic())
        if newest is not None and self.name is not None and recorder.stream is not None:
            await self._trim(newest)

    async def _write_again(self, timeline: str) -> None:
        self._recorder.others_follow = False
        self._reached_since = self._monotonic()
        await self._recorder.writing.write_again(timeline)
        self._written_again_on = timeline
        self._pick_up.set()

    async def _trim(self, newest: str) -> None:
        """Drop the entries that are forgotten, but none that holds what the ledger does not have."""
        first = self._recorder.backlog.first_entry()
        try:
            await self._streams.trim(self.name or "", newest if first is None else min(newest, first, key=place))
        except SpoolUnavailableError as error:
            log.debug("not_trimmed", reason=str(error))

    async def _register(self) -> None:
        name = self._new_name()
        asked = self._clock.local()
        registered = await self._producers.register(name, timeline=self._written_again_on)
        self._clock.observe(registered.now_ms, asked, self._clock.local())
        self._beaten_at = self._monotonic()
        self.name = name
        self._recorder.promises_from_ms = registered.now_ms
        self._place = registered.slot
        self._on_slot(slot_at(self._place, registered.now_ms))
        self._on_named(name)
        if not self._written_again_on:
            self._recorder.writing.timeline = self._written_again_on = registered.timeline
        elif registered.timeline != self._written_again_on:
            await self._write_again(registered.timeline)

    async def _beat_spool(self) -> None:
        recorder = self._recorder
        if recorder.stream is not None and self.name is not None:
            try:
                await self._streams.probe(self.name)
            except StreamLostError:
                recorder.lose_stream()
        if recorder.stream is None and self.name is not None and recorder.health.beats:
            await self._begin_stream(self.name)

    async def _begin_stream(self, name: str) -> None:
        """Begin the process's stream, first with what the ledger does not have yet."""
        await self._streams.create(name)
        # A process that froze before that line may have been declared dead, and this stream never be looked at.
        await self._beat_ledger()
        if self.name != name:
            return
        try:
            await self._recorder.backlog.append_again(lambda batches: self._append_all(name, batches))
        except StreamLostError:
            # It was declared dead meanwhile, or the store has lost its data again.
            return
        self._recorder.stream = OwnStream(self._streams, name)

    async def _append_all(self, name: str, batches: Sequence[Batch]) -> list[str]:
        # A long backlog takes longer than others wait for a beat.
        if self.silent_for > BEAT_EVERY:
            await self._beat_ledger()
        if self.name != name:
            raise StreamLostError(name)
        return await self._streams.append_all(name, batches)
