"""What the product logs as an error: it never should, whatever the stores do."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog


class Log:
    """Collects errors, and drops everything else before it costs anything."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        before = structlog.get_config()
        structlog.configure(
            processors=[self._take],
            wrapper_class=structlog.make_filtering_bound_logger("error"),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**before)

    def note(self, doing: str, error: Exception) -> None:
        """Note an error that is none of the stores' being away."""
        if type(error).__name__ not in ("PostgresUnavailableError", "StillRunningError", "ValueError"):
            self.failures.append(f"ERROR {doing}: {error!r}")

    def _take(self, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        import sys

        error = sys.exc_info()[1]
        place = ""
        if error is not None and error.__traceback__ is not None:
            trace = error.__traceback__
            while trace.tb_next is not None:
                trace = trace.tb_next
            place = f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"
        self.failures.append(f"ERROR {event.get('event')}: {error!r}{place}")
        raise structlog.DropEvent
