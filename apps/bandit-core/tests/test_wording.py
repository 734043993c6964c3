"""Numbers as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.wording import compared, count, duration, listing, number, percent, points


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.5, "50%"),
        (0.714159, "71.4%"),
        (1 / 3, "33.3%"),
        (0.00042, "0.042%"),
        (0.9987, "99.87%"),
        (0.99996, "over 99.99%"),
        (0.00004, "under 0.01%"),
        (1e-300, "under 0.01%"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.floats(0.0, 1.0))
def test_percent_never_calls_uncertain_things_certain(share: float) -> None:
    assert (percent(share) == "100%") == (share == 1.0)
    assert (percent(share) == "0%") == (share == 0.0)


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.1, "10 points"), (-0.1, "10 points"), (0.01, "1 point"), (0.0005, "0.05 points"), (0.0, "0 points")],
)
def test_points(difference: float, text: str) -> None:
    assert points(difference) == text


@pytest.mark.parametrize(
    ("value", "threshold", "texts"),
    [
        (0.7, 0.95, ("70%", "95%")),
        (0.9496, 0.95, ("94.96%", "95%")),
        (0.94999, 0.95, ("94.999%", "95%")),
        (0.95, 0.95, ("95%", "95%")),
    ],
)
def test_compared_shares_have_the_digits_that_tell_them_apart(
    value: float, threshold: float, texts: tuple[str, str]
) -> None:
    assert compared(value, threshold) == texts


def test_compared_differences_have_the_digits_that_tell_them_apart() -> None:
    assert compared(0.000502, 0.0005, points) == ("0.0502 points", "0.05 points")


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1 reward"), (0, "0 rewards"), (1234, "1,234 rewards"), (1234.56, "1,234.6 rewards")]
)
def test_count(number: float, text: str) -> None:
    assert count(number, "reward") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 seconds"), (1.0, "1 second"), (90.0, "1.5 minutes"), (3600.0, "1 hour"), (604_800.0, "7 days")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c", "d"], "a, b, c and d"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 others"),
        ([str(number) for number in range(1, 1501)], "1, 2, 3 and 1,497 others"),
    ],
)
def test_listing(items: list[str], text: str) -> None:
    assert listing(items) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.5, "0.5"), (12.345, "12.3"), (1234.5, "1,234"), (1e-9, "under 0.0000001")]
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text
