"""How many days are left on the disk follows from how the last days grew, and from how long events are kept."""

from datetime import date

import pytest

from bandit_service.ledger.partitions import Day
from bandit_service.operations.disk import Growth, growth, judge_disk

GIB = 2**30
TODAY = Day(date(2026, 11, 20))


def test_growth_is_the_mean_of_the_last_seven_days_that_are_over() -> None:
    sizes = {f"bandit_events_2026_11_{day:02}": day * GIB for day in range(10, 25)} | {"bandit_events_default": 99}
    assert growth(sizes, TODAY, 30) == Growth(16 * GIB, 30, 10)
    assert growth({}, TODAY, 30) == Growth(None, 30, 0)


@pytest.mark.parametrize(
    ("keep", "days", "free", "status", "words"),
    [
        (30, 10, None, "ok", "cannot be seen"),
        (30, 10, 300 * GIB, "ok", "up to 310 GiB at 30 days kept; 300 GiB are free"),
        (30, 10, 200 * GIB, "warn", "20 days are left"),
        (30, 10, 20 * GIB, "fail", "2 days are left"),
        (30, 40, 20 * GIB, "ok", "up to 410 GiB"),
        (0, 400, 200 * GIB, "ok", "20 days are left"),
        (0, 400, 100 * GIB, "warn", "10 days are left"),
    ],
)
def test_how_many_days_are_left_on_the_disk(keep: int, days: int, free: int | None, status: str, words: str) -> None:
    finding = judge_disk(Growth(10.0 * GIB, keep, days), free)
    assert finding.status == status
    assert words in finding.what
