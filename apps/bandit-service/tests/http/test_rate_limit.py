"""Each API key may ask for so much a second, and for a burst; more is refused until it has waited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bandit_service.http.rate_limit import Buckets, Rate
from bandit_service.settings import Settings

if TYPE_CHECKING:
    from conftest import Api, NewApiKey, StartApi

# Nothing comes back while a test runs.
NO_REFILL = {"auth_required": True, "rate_limit": 0.001}


class Stopwatch:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_in_and_then_as_much_as_the_rate_gives() -> None:
    clock = Stopwatch()
    buckets = Buckets(Rate(per_second=10, burst=3), clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.1, rel=0.01)
    clock.now += 0.101
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(0.099, rel=0.01)


def test_keys_do_not_use_up_one_another_s_rate() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1), Stopwatch())
    assert buckets.take("a") == 0
    assert buckets.take("a") > 0
    assert buckets.take("b") == 0


def test_a_batch_is_let_in_whole_and_its_debt_is_waited_for() -> None:
    clock = Stopwatch()
    buckets = Buckets(Rate(per_second=10, burst=5), clock)
    assert buckets.take("a") == 0
    buckets.charge("a", 99)
    assert buckets.take("a") == pytest.approx(9.6, rel=0.01)
    clock.now += 9.7
    assert buckets.take("a") == 0


requests = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 20)), min_size=1, max_size=60)


@given(requests, st.floats(0.5, 50), st.floats(1, 30))
def test_over_any_stretch_of_time_no_more_is_let_in_than_the_burst_the_rate_and_one_batch(
    asked: list[tuple[float, int]], per_second: float, burst: float
) -> None:
    clock = Stopwatch()
    buckets = Buckets(Rate(per_second, burst), clock)
    admitted: list[tuple[float, int]] = []
    for pause, items in asked:
        clock.now += pause
        if buckets.take("a") == 0:
            buckets.charge("a", items - 1)
            admitted.append((clock.now, items))
    for first, (since, _) in enumerate(admitted):
        total = 0
        for at, items in admitted[first:]:
            allowed = burst + per_second * (at - since)
            assert total <= allowed - 1 + 0.002, "a request is let in only while a token is left"
            total += items


@given(st.floats(0.5, 1_000), st.floats(1, 100), st.integers(1, 300))
def test_who_waits_as_long_as_told_is_let_in(per_second: float, burst: float, items: int) -> None:
    clock = Stopwatch()
    buckets = Buckets(Rate(per_second, burst), clock)
    assert buckets.take("a") == 0
    buckets.charge("a", items)
    # As long as tokens are left nobody is told to wait, and each try takes one.
    while not (wait := buckets.take("a")):
        continue
    clock.now += wait + 1e-9
    assert buckets.take("a") == 0


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({}, None),
        ({"auth_required": True}, Rate(10_000, 20_000)),
        ({"host": "10.0.0.4"}, Rate(10_000, 20_000)),
        ({"auth_required": True, "rate_limit": 5}, Rate(5, 10)),
        ({"auth_required": True, "rate_limit": 5, "rate_limit_burst": 7}, Rate(5, 7)),
        ({"auth_required": True, "rate_limit": 0}, None),
    ],
)
def test_keys_are_limited_unless_that_is_turned_off_or_there_are_none(
    changes: dict[str, Any], rate: Rate | None, signing_key: str
) -> None:
    needed: dict[str, Any] = {
        "redis_url": SecretStr("redis://localhost"),
        "postgres_dsn": SecretStr("postgresql://localhost"),
        "signing_keys": SecretStr(signing_key),
    }
    assert Rate.of(Settings(**needed | changes)) == rate


async def asked(api: Api, key: str, method: str, path: str, body: object = None) -> int:
    """Return the status of an answer; a refusal for the rate says how long to wait."""
    answer = await api.http.request(method, path, json=body, headers={"X-Api-Key": key})
    if answer.status_code == 429:
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["title"] == "Too many requests"
    return answer.status_code


async def test_requests_of_every_kind_and_items_of_batches_count(start_api: StartApi, new_api_key: NewApiKey) -> None:
    keys = [await new_api_key("admin") for _ in range(3)]
    async with start_api(**NO_REFILL, rate_limit_burst=4) as api:
        made = {"experiment_id": "homepage", "arms": ["a", "b"]}
        assert await asked(api, keys[0], "POST", "/experiments", made) == 201
        assert await asked(api, keys[0], "GET", "/experiments/homepage") == 200
        assert await asked(api, keys[0], "GET", "/experiments/homepage/posterior") == 200
        assert await asked(api, keys[0], "POST", "/select", {"experiment_id": "homepage"}) == 200
        for method, path in [("POST", "/select"), ("POST", "/reward"), ("GET", "/experiments"), ("POST", "/activate")]:
            assert await asked(api, keys[0], method, path, {}) == 429, path

        batch = {"items": [{"experiment_id": "homepage"}] * 50}
        assert await asked(api, keys[1], "POST", "/select/batch", batch) == 200
        assert await asked(api, keys[1], "POST", "/select", {"experiment_id": "homepage"}) == 429
        refused = [{"decision_id": "no-such", "reward": 1}] * 3
        assert await asked(api, keys[2], "POST", "/reward/batch", {"items": refused}) == 200
        assert await asked(api, keys[2], "POST", "/reward/batch", {"items": refused}) == 200
        assert await asked(api, keys[2], "POST", "/reward/batch", {"items": refused}) == 429

        shown = (await api.http.get("/metrics")).text
        counts = {key.split("_")[1]: number for key, number in zip(keys, (4.0, 1.0, 1.0), strict=True)}
        for key_id, number in counts.items():
            assert f'bandit_requests_rate_limited_total{{key="{key_id}"}} {number}' in shown


async def test_a_request_without_a_valid_key_uses_up_nobody_s_rate(start_api: StartApi, new_api_key: NewApiKey) -> None:
    key = await new_api_key("admin")
    async with start_api(**NO_REFILL, rate_limit_burst=1) as api:
        for _ in range(3):
            assert await asked(api, key[:-1], "GET", "/experiments") == 401
        assert await asked(api, key, "GET", "/experiments") == 200


async def test_what_answers_probes_is_not_limited(start_api: StartApi, new_api_key: NewApiKey) -> None:
    key = await new_api_key("reader")
    async with start_api(**NO_REFILL, rate_limit_burst=1) as api:
        for path in ["/health", "/ready", "/metrics"] * 3:
            assert await asked(api, key, "GET", path) != 429, path
