"""Parts of the day where the visitor is, summer time included."""

from datetime import UTC, datetime

import pytest

from bandit_core.daytime import day_kind, time_period


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "zone", "period"),
    [
        ("2026-06-01T05:59", "UTC", "night"),
        ("2026-06-01T06:00", "UTC", "morning"),
        ("2026-06-01T10:00", "Europe/Berlin", "afternoon"),
        ("2026-12-01T10:59", "Europe/Berlin", "morning"),
        ("2026-06-01T18:00", "UTC", "evening"),
        ("2026-06-01T22:00", "UTC", "night"),
        ("2026-06-01T22:00", "America/New_York", "evening"),
    ],
)
def test_the_part_of_the_day_is_the_visitors(moment: str, zone: str, period: str) -> None:
    assert time_period(at(moment), zone) == period


def test_the_weekend_begins_where_the_visitor_is() -> None:
    friday_evening = at("2026-06-05T22:30")
    assert day_kind(friday_evening, "UTC") == "weekday"
    assert day_kind(friday_evening, "Asia/Tokyo") == "weekend"


def test_a_zone_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="Mars"):
        time_period(0.0, "Mars/Olympus")
