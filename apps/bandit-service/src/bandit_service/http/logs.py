"""Structured logs: one line of JSON for what happens."""

from __future__ import annotations

import logging
import sys
from typing import Final, Literal

import structlog
from structlog.typing import Processor

from bandit_service.http.log_repetitions import Repetitions

_ALIKE_EVERY: Final = 10.0


def configure(log_format: Literal["json", "console"], level: str) -> None:
    """Send this program's logs and those of its libraries to standard output, in one format."""
    renderer: Processor = structlog.processors.JSONRenderer() if log_format == "json" else _console()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    tracebacks = [] if log_format == "console" else [structlog.processors.format_exc_info]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tracebacks, renderer],
        )
    )
    handler.addFilter(Repetitions(_ALIKE_EVERY))
    # A line that cannot be written (a full disk, a pipe without a reader) is no reason to write a traceback elsewhere.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their ordinary work would be a line per request or per connection.
    for chatty in ("uvicorn.access", "psycopg.pool", "httpx", "mcp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
