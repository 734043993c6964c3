"""Categories of time for segments: the part of the day and the kind of the day, where the visitor is."""

from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

type TimePeriod = Literal["night", "morning", "afternoon", "evening"]
type DayKind = Literal["weekday", "weekend"]

_BEGINS: Final[tuple[tuple[int, TimePeriod], ...]] = ((22, "night"), (18, "evening"), (12, "afternoon"), (6, "morning"))
_SATURDAY: Final = 5


def time_period(timestamp: float, zone: str) -> TimePeriod:
    """Return the part of the day: morning from 6, afternoon from 12, evening from 18, night from 22 to 6.

    `timestamp` is in seconds since the epoch (UTC), `zone` an IANA name such as "Europe/Berlin"; ValueError for
    another.
    """
    hour = _local(timestamp, zone).hour
    return next((period for begin, period in _BEGINS if hour >= begin), "night")


def day_kind(timestamp: float, zone: str) -> DayKind:
    """Return whether it is a weekday or the weekend (Saturday and Sunday); arguments as `time_period`."""
    return "weekend" if _local(timestamp, zone).weekday() >= _SATURDAY else "weekday"


def _local(timestamp: float, zone: str) -> datetime:
    try:
        return datetime.fromtimestamp(timestamp, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{zone!r} is not the name of a time zone, or {timestamp!r} no time: {error}") from None
