"""The clock of a process follows that of a server."""

import pytest

from bandit_service.domain.clock import AnchoredClock


class Seconds:
    """A count of seconds that a test advances."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def clock(seconds: Seconds) -> AnchoredClock:
    return AnchoredClock(seconds, now=50.0)


def observe(clock: AnchoredClock, seconds: Seconds, server: float, *, took: float) -> None:
    """Have the server answer with its time half way."""
    asked = seconds.now
    seconds.now += took
    clock.observe(round(server * 1_000), asked, seconds.now)


def test_until_the_server_is_heard_it_goes_on_from_where_it_began(clock: AnchoredClock, seconds: Seconds) -> None:
    seconds.now += 5.0
    assert clock() == 55.0


def test_it_takes_the_time_of_the_server(clock: AnchoredClock, seconds: Seconds) -> None:
    observe(clock, seconds, 7_000.0, took=0.1)
    assert clock() == pytest.approx(7_000.05)
    seconds.now += 10.0
    assert clock() == pytest.approx(7_010.05)


def test_a_slow_answer_does_not_move_it(clock: AnchoredClock, seconds: Seconds) -> None:
    observe(clock, seconds, 7_000.0, took=0.0)
    observe(clock, seconds, 7_001.9, took=2.0)
    assert clock() == pytest.approx(7_002.0)


def test_an_answer_as_quick_as_before_moves_it(clock: AnchoredClock, seconds: Seconds) -> None:
    observe(clock, seconds, 7_000.0, took=0.2)
    observe(clock, seconds, 7_000.25, took=0.2)
    assert clock() == pytest.approx(7_000.35)


def test_after_a_long_time_a_slower_answer_counts_again(clock: AnchoredClock, seconds: Seconds) -> None:
    observe(clock, seconds, 7_000.0, took=0.0)
    seconds.now += 3_600.0
    observe(clock, seconds, 10_600.5, took=0.2)
    assert clock() == pytest.approx(10_600.6)


@pytest.mark.parametrize("jump", [-3_600.0, 3_600.0])
def test_a_slow_answer_that_shows_that_a_clock_was_set_moves_it(
    clock: AnchoredClock, seconds: Seconds, jump: float
) -> None:
    observe(clock, seconds, 7_000.0, took=0.0)
    observe(clock, seconds, 7_001.0 + jump, took=2.0)
    assert clock() == pytest.approx(7_002.0 + jump)
