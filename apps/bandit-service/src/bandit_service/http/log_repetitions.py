"""What lasts or is repeated does not fill the log: of lines that are alike, few are written in a while."""

from __future__ import annotations

import logging
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

# What makes two lines of one event alike, or not. Requests and decisions have ids of their own, and times differ.
_TELLING: Final = ("event", "reason", "subject", "experiment_id", "part", "step", "names", "path", "status")
# So many lines of one event are written in a while however they differ: clients choose the paths of requests.
MOST_OF_AN_EVENT: Final = 20
_MOST_KINDS: Final = 1_000
_REFUSED: Final = range(400, 500)


@dataclass(slots=True)
class _While:
    """A while that began at a time: how many lines were written in it, and how many left out."""

    since: float
    written: int = 0
    left_out: int = 0


class Repetitions(logging.Filter):
    """Bounds warnings, errors and refused requests; a line says how many like it were `left_out` before.

    Of warnings and errors that are alike one is written in so many seconds. Of one event 20 are.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._whiles: dict[Hashable, _While] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is to be written."""
        fields = record.msg if isinstance(record.msg, dict) else {"event": str(record.msg)}
        is_warning = record.levelno >= logging.WARNING
        if not is_warning and fields.get("status") not in _REFUSED:
            return True
        event = (record.name, record.levelno, repr(fields.get("event")), fields.get("status"))
        bounds: dict[Hashable, int] = {event: MOST_OF_AN_EVENT}
        if is_warning:
            bounds[event, type(sys.exception()), *_told(fields)] = 1
        left_out = self._left_out(bounds, record.created)
        if left_out and isinstance(record.msg, dict):
            record.msg["left_out"] = left_out
        return left_out is not None

    def _left_out(self, bounds: Mapping[Hashable, int], at: float) -> int | None:
        """Return how many lines were left out since the last one; None if this one is to be, too."""
        if len(self._whiles) >= _MOST_KINDS:
            self._whiles.clear()
        left_out = 0
        for kind, most in bounds.items():
            current = self._whiles.get(kind)
            # A clock that was set back keeps nothing out.
            if current is None or not 0 <= at - current.since < self._seconds:
                left_out += 0 if current is None else current.left_out
                current = self._whiles[kind] = _While(at)
            if current.written >= most:
                current.left_out += 1
                return None
        for kind in bounds:
            self._whiles[kind].written += 1
        return left_out


def _told(fields: Mapping[str, object]) -> list[str]:
    return [repr(fields.get(name)) for name in _TELLING]
