from random import Random
from statistics import fmean
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_sdk import Retries, requests
from bandit_sdk.errors import (
    InvalidError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from bandit_sdk.requests import Call
from bandit_sdk.retries import Exchange, Patience, retry_after

USUAL = Retries()
REPEATABLE = requests.posterior("homepage")
ONCE = requests.create_experiment("homepage", {"arms": ["a", "b"]})


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def exchange(call: Call[Any], time: Time, retries: Retries = USUAL, timeout: float = 2.0) -> Exchange[Any]:
    started = Exchange(call, Patience(retries, timeout, time, Random(1)))
    started.attempt()
    return started


def answer(status: int, **headers: str) -> httpx.Response:
    request = httpx.Request("GET", "http://service/select")
    problem = {"status": status, "title": "Something", "detail": "is the matter"}
    return httpx.Response(status, json=problem, headers=headers, request=request)


@given(st.integers(1, 5_000), st.floats(0, 5), st.floats(0, 20))
def test_a_pause_is_within_the_capped_backoff(attempt: int, base: float, cap: float) -> None:
    pause = Retries(base=base, cap=cap).backoff(attempt, Random(attempt))
    assert 0.0 <= pause <= cap
    assert attempt > 1_000 or pause <= base * 2.0 ** (attempt - 1)


def test_pauses_are_spread_over_the_whole_backoff() -> None:
    rng = Random(7)
    pauses = [Retries(base=1.0, cap=10.0).backoff(3, rng) for _ in range(2_000)]
    # Evenly from 0 to 4: mean 2, standard deviation 4 / √12.
    assert abs(fmean(pauses) - 2.0) < 4 * (4 / 12**0.5) / 2_000**0.5


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_not_done_is_asked_again_even_without_a_key(status: int, time: Time) -> None:
    assert exchange(ONCE, time).refused(answer(status)) is not None


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_what_may_have_been_done_is_asked_again_only_with_a_key(status: int, time: Time) -> None:
    assert exchange(REPEATABLE, time).refused(answer(status)) is not None
    with pytest.raises(UnavailableError, match="is the matter"):
        exchange(ONCE, time).refused(answer(status))


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.PoolTimeout("full")])
def test_what_was_not_sent_is_sent_again_even_without_a_key(error: httpx.TransportError, time: Time) -> None:
    assert exchange(ONCE, time).failed(error) >= 0.0


def test_what_was_sent_without_a_key_is_not_sent_again(time: Time) -> None:
    assert exchange(REPEATABLE, time).failed(httpx.ReadTimeout("")) >= 0.0
    with pytest.raises(UnreachableError, match="it took too long"):
        exchange(ONCE, time).failed(httpx.ReadTimeout(""))


@pytest.mark.parametrize(("status", "kind"), [(401, UnauthorizedError), (422, InvalidError)])
def test_a_wrong_request_is_not_repeated(status: int, kind: type[Exception], time: Time) -> None:
    with pytest.raises(kind):
        exchange(REPEATABLE, time).refused(answer(status))


def test_what_was_queued_is_not_sent_again(time: Time) -> None:
    assert exchange(REPEATABLE, time).refused(httpx.Response(202, json={"status": "queued"})) is None


def test_a_redirect_is_no_answer(time: Time) -> None:
    with pytest.raises(UnexpectedAnswerError, match="check the URL"):
        exchange(REPEATABLE, time).refused(answer(302, Location="http://elsewhere/"))


def test_the_pause_is_never_shorter_than_retry_after_asks_for(time: Time) -> None:
    assert exchange(REPEATABLE, time, Retries(base=0.0)).refused(answer(503, **{"Retry-After": "3"})) == 3.0


def test_a_pause_beyond_the_budget_is_not_made(time: Time) -> None:
    with pytest.raises(TooManyRequestsError):
        exchange(REPEATABLE, time, Retries(budget=2.0)).refused(answer(429, **{"Retry-After": "3"}))


def test_attempts_are_counted(time: Time) -> None:
    twice = exchange(REPEATABLE, time, Retries(attempts=2))
    assert twice.refused(answer(503)) is not None
    twice.attempt()
    with pytest.raises(UnavailableError):
        twice.refused(answer(503))


def test_an_attempt_waits_no_longer_than_the_budget_lasts(time: Time) -> None:
    running = exchange(REPEATABLE, time, Retries(budget=5.0), timeout=2.0)
    assert running.attempt()["timeout"] == 2.0
    time.now += 4.5
    assert running.attempt()["timeout"] == pytest.approx(0.5)


def test_an_answer_that_is_no_problem_document_still_has_its_status(time: Time) -> None:
    request = httpx.Request("GET", "http://service/select")
    with pytest.raises(UnavailableError, match="Bad Gateway \\(502\\)"):
        exchange(ONCE, time).refused(httpx.Response(502, html="<h1>proxy</h1>", request=request))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Headers(headers)) == seconds


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"budget": 0.0}, {"base": -1.0}, {"cap": float("nan")}])
def test_senseless_retries_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Retries(**wrong)  # type: ignore[arg-type]
