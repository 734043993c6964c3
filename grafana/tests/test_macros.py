"""Variables and macros become what Grafana makes of them."""

from datetime import UTC, datetime

import pytest

from dashboards.macros import expanded

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("${name:sqlstring}", "'it''s','b'"),
        ("$__timeFilter(at)", "at BETWEEN '2026-01-01T00:00:00+00:00' AND '2026-01-02T00:00:00+00:00'"),
        ("$__timeFrom() $__timeTo()", "'2026-01-01T00:00:00+00:00' '2026-01-02T00:00:00+00:00'"),
        ("$__timeGroup(at, $__interval)", "floor(extract(epoch from at)/60)*60"),
    ],
)
def test_each_is_replaced(before: str, after: str) -> None:
    assert expanded(before, {"name": ["it's", "b"]}, start=START, end=END) == after


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(KeyError):
        expanded("$__unixEpochFilter(at)", {}, start=START, end=END)
