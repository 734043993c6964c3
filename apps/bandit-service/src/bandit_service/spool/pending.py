"""Events that the ledger does not have yet: where they are, and what a process may hold of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from bandit_service.domain.event import Batch
from bandit_service.spool.answers import Answer

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
    """A batch that the ledger does not have yet; `entry` is its place in the spool, if it is there."""

    batch: Batch
    entry: str | None
    recorded: asyncio.Future[bool] | None = None
    is_written: bool = False

    @property
    def is_decided(self) -> bool:
        return any(event.kind in _DECIDED or event.claim is not None for event in self.batch.events)


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


@dataclass(slots=True)
class Health:
    """What the process last saw of the two stores. `beats`: its last heartbeat reached the ledger."""

    spool: bool = False
    ledger: bool = False
    beats: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a process holds, and how long (s) a caller waits for a store."""

    waiting: int = 200_000
    patience: float = 1.0


class UnderWay:
    """Notes when the oldest event of a batch was received while the batch is between two places."""

    def __init__(self, under_way: dict[int, int], batch: Batch) -> None:
        self._under_way = under_way
        self._batch = batch

    def __enter__(self) -> None:
        self._under_way[self._batch.number] = self._batch.events[0].event_ms

    def __exit__(self, *exception: object) -> None:
        del self._under_way[self._batch.number]
