"""Which partitions there have to be: those of today and the next days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate, repeat
from typing import Final

import structlog

from bandit_service.ledger.partitions import Day, Made, Partitions

# A service that may not make tables leaves a week to notice it.
DAYS_AHEAD: Final = 7
# Read in a tenth of a second, with a few hundred thousand rows in it.
LARGEST_DEFAULT: Final = 64 * 1_048_576
_SECONDS: Final = 60.0
log = structlog.get_logger(__name__)


def wanted_days(now: float, ahead: int = DAYS_AHEAD) -> list[Day]:
    """Return the day of a moment (seconds since the epoch) and the ones after it."""
    today = Day.of(datetime.fromtimestamp(now, UTC))
    return list(accumulate(repeat(None, ahead), lambda day, _: day.following, initial=today))


class PartitionKeeper:
    """Makes partitions ahead of time, in any number of processes at once."""

    def __init__(self, partitions: Partitions, *, clock: Callable[[], float]) -> None:
        self._partitions = partitions
        self._clock = clock

    async def make_missing(self, *, largest_default: int = LARGEST_DEFAULT, seconds: float = _SECONDS) -> list[Made]:
        """Make the partitions that are missing.

        Raises:
            PostgresUnavailableError: Postgres is away, or a lock was not to be had within two seconds: try again later.
        """
        there = set(await self._partitions.days())
        missing = [day for day in wanted_days(self._clock()) if day not in there]
        return await self._partitions.make(missing, largest_default=largest_default, seconds=seconds)

    async def keep_ahead(self) -> None:
        """Make the partitions that are missing, as a step of a running service, and log it.

        Raises:
            PostgresUnavailableError: as for `make_missing`.
        """
        for made in await self.make_missing():
            _log(made)


def _log(made: Made) -> None:
    name = made.day.partition
    if made.outcome == "created":
        log.info("partition_created", partition=name, moved=made.moved, blocked_seconds=round(made.blocked, 3))
    elif made.outcome == "the default partition is too large":
        log.warning("partition_not_created", partition=name, do="run `bandit-service partitions` at a quiet hour")
