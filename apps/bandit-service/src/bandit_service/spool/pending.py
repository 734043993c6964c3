"""Events that the ledger does not have yet: where they are, and what a process may hold of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from bandit_service.domain.event import Batch
from bandit_service.spool.answers import Answer, UnrecordedError

# Kinds whose first event decides something: not written from a queue while others may still write theirs again.
_DECIDED: Final = frozenset({"reward", "activation"})


class Stream(Protocol):
    """The process's own stream."""

    async def append(self, batch: Batch) -> str:
        """Append a batch and return its entry's id; raise SpoolUnavailableError or StreamLostError."""
        ...

    async def probe(self) -> None:
        """Return if the store has everything that it had; raise SpoolUnavailableError or StreamLostError."""
        ...


@dataclass(slots=True)
class Pending:
    """A batch that the ledger does not have yet.

    `entry` is its place in the spool, if it is there; `number` its place in the backlog.
    """

    batch: Batch
    entry: str | None
    recorded: asyncio.Future[bool] | None = None
    number: int = 0

    @property
    def is_decided(self) -> bool:
        return any(event.kind in _DECIDED or event.claim is not None for event in self.batch.events)


def tell(future: asyncio.Future[bool], *, recorded: bool) -> None:
    """Tell whoever still waits whether events are written down."""
    if not future.done():
        future.set_result(recorded)


def place(entry: str) -> tuple[int, int]:
    """Return the place of an entry in its stream, as numbers that are in order."""
    time, _, number = entry.partition("-")
    return int(time), int(number)


@dataclass(slots=True)
class Asked:
    """Events whose answer somebody waits for. `may_wait`: they may be acknowledged before the ledger has decided."""

    batch: Batch
    answer: asyncio.Future[list[Answer]]
    respond_async: bool = False
    may_wait: bool = True

    @property
    def is_own_decision(self) -> bool:
        return any(event.kind == "decision" and event.claim is not None for event in self.batch.events)

    def settle(self, answers: list[Answer]) -> None:
        """Tell the caller what became of its events."""
        if not self.answer.done():
            self.answer.set_result(answers)

    def give_up(self, *, was_sent: bool) -> None:
        """Tell the caller that nothing is promised about its events."""
        if not self.answer.done():
            self.answer.set_exception(UnrecordedError(was_sent=was_sent))


class Health:
    """What the process last saw of the two stores.

    `beats`: its last heartbeat reached the ledger. `room`: the ledger has not refused a batch for want of room since it
    last took one; a heartbeat, which changes a row, finds room for that when there is none for a batch.
    """

    def __init__(self) -> None:
        self.ledger = self.beats = False
        self.room = True
        self.spool_is_away = asyncio.Event()
        self.spool_is_away.set()

    @property
    def spool(self) -> bool:
        return not self.spool_is_away.is_set()

    @spool.setter
    def spool(self, answers: bool) -> None:
        (self.spool_is_away.clear if answers else self.spool_is_away.set)()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many bytes of events that the ledger lacks a process holds, and how long (s) a caller waits for a store."""

    memory: int = 384 * 2**20
    patience: float = 1.0
