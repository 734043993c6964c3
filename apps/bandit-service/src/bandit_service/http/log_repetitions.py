"""A failure that lasts does not fill the log: of warnings and errors that are alike, one in a while is written."""

from __future__ import annotations

import logging
import sys
from typing import Final

# What makes two lines of one event alike, or not. Requests and decisions have ids of their own, and times differ.
_TELLING: Final = ("event", "reason", "subject", "experiment_id", "part", "step", "names", "path", "status")
_MOST_KINDS: Final = 1_000


class Repetitions(logging.Filter):
    """Lets one of those that are alike through in so many seconds; the next one says how many were `left_out`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._written: dict[object, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is to be written."""
        if record.levelno < logging.WARNING:
            return True
        kind = _kind(record)
        at, left_out = self._written.get(kind, (float("-inf"), 0))
        # A clock that was set back keeps nothing out.
        if 0 <= record.created - at < self._seconds:
            self._written[kind] = (at, left_out + 1)
            return False
        if len(self._written) >= _MOST_KINDS:
            self._written.clear()
        self._written[kind] = (record.created, 0)
        if left_out and isinstance(record.msg, dict):
            record.msg["left_out"] = left_out
        return True


def _kind(record: logging.LogRecord) -> object:
    # A library's message is its text before the values are put in.
    event = [repr(record.msg.get(name)) for name in _TELLING] if isinstance(record.msg, dict) else [str(record.msg)]
    return record.name, record.levelno, type(sys.exception()), *event
