"""What a load generator is asked to send, and what it saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class LoadError(Exception):
    """A measurement that would not mean anything."""


class ExhaustedError(LoadError):
    """There were not enough bodies that may be sent only once."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """POST requests over connections that stay open, each connection asking again once it is answered.

    `bodies` are sent in turn: again from the first after the last if `repeats`, else each must be sent once at most.
    With wrk, a body that begins with a path and a space is sent there.
    """

    url: str
    bodies: Sequence[bytes]
    connections: int
    seconds: int
    repeats: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients of one measurement saw. Times are in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Generator:
    """A load generator, with the name the report gives it."""

    name: str
    send: Callable[[Traffic], Seen]
