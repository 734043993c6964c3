"""The batches that the ledger does not have yet, oldest first. Of a long queue only both ends are objects."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Final

from bandit_service.domain.event import Batch
from bandit_service.spool.packing import pack_entries, size_of, unpack_entries
from bandit_service.spool.pending import Pending, place
from bandit_service.spool.writing import MOST_ROWS

# So many events are packed together; fewer compress worse, more keep the process from its requests for longer.
_AT_ONCE: Final = 1_000
_APPENDED_AT_ONCE: Final = 500

type Append = Callable[[Sequence[Batch]], Awaitable[list[str]]]


@dataclass(slots=True)
class _Part:
    """Batches in the middle of a queue, packed, with what is asked about them; `saved` is what that saves, in bytes.

    Those with a text that cannot be packed, which no store can hold either, stay as they are.
    """

    batches: bytes | list[Pending]
    first_number: int
    saved: int
    oldest_ms: int
    first_entry: str | None

    @classmethod
    def of(cls, pending: Sequence[Pending]) -> _Part:
        batches: bytes | list[Pending]
        try:
            batches = pack_entries([(each.batch, each.entry) for each in pending])
            saved = sum(size_of(each.batch.events) for each in pending) - len(batches)
        except UnicodeEncodeError:
            batches, saved = list(pending), 0
        return cls(batches, pending[0].number, saved, _oldest_ms(pending), _first_entry(pending))

    def unpacked(self) -> list[Pending]:
        if isinstance(self.batches, list):
            return self.batches
        entries = enumerate(unpack_entries(self.batches), self.first_number)
        return [Pending(batch, entry, number=number) for number, (batch, entry) in entries]


class Backlog:
    """A queue of batches. What is about to be written and what has just come are objects, the middle is packed."""

    def __init__(self) -> None:
        self._head: deque[Pending] = deque()
        self._middle: deque[_Part] = deque()
        self._tail: deque[Pending] = deque()
        self._head_events = self._tail_events = 0
        self._holds = False
        # The number of the newest batch; they are numbered as they come.
        self.newest = 0
        # What packing saves at the moment, in bytes.
        self.saved = 0

    def __bool__(self) -> bool:
        return bool(self._head or self._middle or self._tail)

    def add(self, pending: Pending) -> None:
        self.newest += 1
        pending.number = self.newest
        if not self._middle and not self._tail and self._head_events < _AT_ONCE:
            self._head.append(pending)
            self._head_events += len(pending.batch.events)
            return
        self._tail.append(pending)
        self._tail_events += len(pending.batch.events)
        # Somebody waits to hear of those that no spool has: they are not packed.
        if self._tail_events >= _AT_ONCE and not self._holds and not any(map(_is_waited_for, self._tail)):
            part = _Part.of(self._tail)
            self._middle.append(part)
            self.saved += part.saved
            self._tail.clear()
            self._tail_events = 0

    def ready(self, *, decided: bool) -> list[Pending]:
        """Return the oldest batches that may be written now, without those that are decided unless that is asked for.

        Of a long queue only its beginning is looked through.
        """
        self._load_more()
        ready: list[Pending] = []
        size = 0
        for pending in self._head:
            if size >= MOST_ROWS:
                break
            if decided or not pending.is_decided:
                ready.append(pending)
                size += len(pending.batch.events)
        return ready

    def take_off(self, written: Iterable[Pending]) -> None:
        """Take batches off that were ready and are written: nearly always the oldest ones."""
        gone = {id(pending) for pending in written}
        while self._head and id(self._head[0]) in gone:
            gone.remove(id(self._head.popleft()))
        if gone:
            self._head = deque(pending for pending in self._head if id(pending) not in gone)
        self._head_events = sum(len(pending.batch.events) for pending in self._head)

    @property
    def oldest(self) -> int:
        """The number of the oldest batch; one more than that of the newest if there is none."""
        for loose in (self._head, self._tail):
            if loose and (loose is self._head or not self._middle):
                return loose[0].number
        return self._middle[0].first_number if self._middle else self.newest + 1

    def oldest_ms(self) -> list[int]:
        """Return times (ms), of which the first is that of the oldest event."""
        loose = [*self._head, *self._tail]
        return [*([_oldest_ms(loose)] if loose else []), *(part.oldest_ms for part in self._middle)]

    def first_entry(self) -> str | None:
        """Return the first entry of the stream that holds a batch of these; None without one."""
        entries = [_first_entry([*self._head, *self._tail]), *(part.first_entry for part in self._middle)]
        return min((entry for entry in entries if entry is not None), key=place, default=None)

    async def append_again(self, append: Append) -> None:
        """Append every batch of these to a stream that was begun anew, and note where it is.

        Meanwhile nothing is packed or unpacked; what comes meanwhile is not appended here.
        """
        self._holds = True
        try:
            head, middle, tail = list(self._head), list(self._middle), list(self._tail)
            await _append_again(append, head)
            for part in middle:
                pending = part.unpacked()
                await _append_again(append, pending)
                again = _Part.of(pending)
                self.saved += again.saved - part.saved
                part.batches, part.saved, part.first_entry = again.batches, again.saved, again.first_entry
            await _append_again(append, tail)
        finally:
            self._holds = False

    def _load_more(self) -> None:
        while self._head_events < MOST_ROWS:
            if self._middle:
                if self._holds:
                    return
                part = self._middle.popleft()
                self.saved -= part.saved
                more = part.unpacked()
            elif self._tail:
                more = list(self._tail)
                self._tail.clear()
                self._tail_events = 0
            else:
                return
            self._head.extend(more)
            self._head_events += sum(len(pending.batch.events) for pending in more)


async def _append_again(append: Append, pending: Sequence[Pending]) -> None:
    for some in batched(pending, _APPENDED_AT_ONCE):
        for each, entry in zip(some, await append([each.batch for each in some]), strict=True):
            each.entry = entry


def _is_waited_for(pending: Pending) -> bool:
    return pending.recorded is not None and not pending.recorded.done()


def _oldest_ms(pending: Iterable[Pending]) -> int:
    return min(each.batch.events[0].event_ms for each in pending)


def _first_entry(pending: Iterable[Pending]) -> str | None:
    return min((each.entry for each in pending if each.entry is not None), key=place, default=None)
