"""Of warnings that are alike, one in a while is written; what is told apart, and what is no warning, always is."""

from __future__ import annotations

import logging

import pytest

from bandit_service.http.log_repetitions import MOST_OF_AN_EVENT, Repetitions


@pytest.fixture
def repetitions() -> Repetitions:
    return Repetitions(10.0)


def line(at: float, msg: object, level: int = logging.WARNING, *args: object) -> logging.LogRecord:
    record = logging.LogRecord("some.module", level, "file.py", 1, msg, args, None)
    record.created = at
    return record


def away(at: float, **fields: object) -> logging.LogRecord:
    return line(at, {"event": "spool_unavailable", "reason": "TimeoutError", "request_id": str(at)} | fields)


def test_lines_that_are_alike_are_left_out_for_a_while_and_then_counted(repetitions: Repetitions) -> None:
    lines = [away(at) for at in (0.0, 0.1, 9.9, 10.0, 10.1)]
    assert [repetitions.filter(each) for each in lines] == [True, False, False, True, False]
    last = away(20.5)
    assert repetitions.filter(last)
    assert [each.msg.get("left_out") for each in (lines[0], lines[3], last)] == [None, 2, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("difference", [{"reason": "OutOfMemoryError"}, {"experiment_id": "x"}, {"status": 500}])
def test_what_differs_in_what_it_tells_is_another_line(repetitions: Repetitions, difference: dict[str, object]) -> None:
    assert repetitions.filter(away(0.0))
    assert repetitions.filter(away(0.1, **difference))


def test_ordinary_lines_are_all_written(repetitions: Repetitions) -> None:
    assert [repetitions.filter(line(0.0, {"event": "request"}, logging.INFO)) for _ in range(3)] == [True] * 3


def test_a_library_s_message_is_one_whatever_its_values_are(repetitions: Repetitions) -> None:
    written = [repetitions.filter(line(0.0, "error connecting to %s", logging.WARNING, port)) for port in (1, 2)]
    assert written == [True, False]


def test_errors_of_another_kind_are_told_apart(repetitions: Repetitions) -> None:
    written = []
    for kind in (KeyError, KeyError, ValueError):
        try:
            raise kind
        except (LookupError, ValueError):
            written.append(repetitions.filter(line(0.0, {"event": "failed"}, logging.ERROR)))
    assert written == [True, False, True]


def test_a_clock_that_was_set_back_keeps_nothing_out(repetitions: Repetitions) -> None:
    assert repetitions.filter(away(1_000.0))
    assert repetitions.filter(away(1.0))


def test_kinds_without_number_do_not_fill_the_memory(repetitions: Repetitions) -> None:
    for number in range(2_500):
        repetitions.filter(away(0.0, experiment_id=f"e{number}"))
    assert len(repetitions._whiles) <= 1_000


@pytest.mark.parametrize(("level", "status"), [(logging.INFO, 404), (logging.INFO, 401), (logging.WARNING, 503)])
def test_requests_that_fail_at_many_paths_do_not_fill_the_log(
    repetitions: Repetitions, level: int, status: int
) -> None:
    def request(at: float, number: int) -> logging.LogRecord:
        return line(at, {"event": "request", "path": f"/{number}", "status": status}, level)

    written = [repetitions.filter(request(number / 1_000, number)) for number in range(1_000)]
    assert sum(written) == MOST_OF_AN_EVENT
    last = request(11.0, -1)
    assert repetitions.filter(last)
    assert last.msg["left_out"] == 1_000 - MOST_OF_AN_EVENT  # type: ignore[index]


def test_requests_that_succeed_are_all_written(repetitions: Repetitions) -> None:
    lines = [line(0.0, {"event": "request", "path": "/experiments", "status": 201}, logging.INFO) for _ in range(100)]
    assert all(repetitions.filter(each) for each in lines)
