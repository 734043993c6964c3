"""A retry of /select under the request's id gets the answer of the first, while the store keeps it."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from redis.asyncio import Redis

from bandit_core.rules.decisions import DecisionClaims
from bandit_core.rules.requests import SelectResponse
from bandit_local.servers import RedisServer
from bandit_service.api.decisions.request_ids import KEPT_SECONDS, RequestIds
from bandit_service.domain.decision_id import DecisionIds
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import OwnIds

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment, RunReplica, SettingsOn, StartApi

    from bandit_service.settings import Settings

ANSWER = SelectResponse(
    decision_id="d1.mine",
    experiment_id="homepage",
    arm="a",
    arm_index=0,
    propensity=0.5,
    weights_version=1,
    stratum="bandit",
    recorded=True,
)


async def counted(live: LiveExperiment) -> int:
    return sum(arm["decisions"] for arm in (await live.read("posterior"))["arms"])


async def test_the_same_request_again_gets_the_same_answer(api: Api) -> None:
    live = await api.create(*"abcdefgh")
    first = await live.select(request_id="retry-1", unit_id="visitor-1")
    assert [await live.select(request_id="retry-1", unit_id="visitor-1") for _ in range(5)] == [first] * 5
    assert await counted(live) == 1
    assert (await live.reward(first, 1.0))["status"] == "applied"


async def test_without_an_id_or_under_another_every_request_is_a_decision(api: Api) -> None:
    live = await api.create()
    answers = [
        await live.select(),
        await live.select(),
        await live.select(request_id="a"),
        await live.select(request_id="b"),
    ]
    assert len({answer["decision_id"] for answer in answers}) == 4
    assert await counted(live) == 4


async def test_requests_that_race_at_two_replicas_get_one_answer(start_api: StartApi) -> None:
    async with start_api() as first, start_api() as second:
        live = await first.create(*"abcdefgh")
        there = type(live)(second, live.id)
        answers = await asyncio.gather(*(side.select(request_id="mine") for side in (live, there) * 10))
        assert answers == [answers[0]] * 20

        async def is_counted() -> bool:
            return await counted(live) == 1

        await first.until(is_counted)
        await asyncio.sleep(0.2)
        assert await counted(live) == 1


async def test_the_same_request_id_in_two_experiments_is_two_decisions(api: Api) -> None:
    first, second = await api.create(), await api.create()
    answers = [await live.select(request_id="mine") for live in (first, second)]
    assert [answer["experiment_id"] for answer in answers] == [first.id, second.id]
    assert [await counted(first), await counted(second)] == [1, 1]


async def test_a_slate_is_answered_again_with_all_its_places(api: Api) -> None:
    live = await api.create(*"abcdefgh")
    first = await live.select(request_id="mine", k=3)
    assert len(first["slate"]) == 3
    assert [await live.select(request_id="mine", k=3) for _ in range(5)] == [first] * 5
    assert await counted(live) == 3


async def test_a_deferred_decision_is_answered_again_and_activated_once(api: Api) -> None:
    live = await api.create(*"abcdefgh")
    first, again = [await live.select(request_id="mine", defer_activation=True) for _ in range(2)]
    assert again == first
    statuses = [
        (await api.post("/activate", {"decision_id": each["decision_id"]}))["status"] for each in (first, again)
    ]
    assert statuses == ["activated", "duplicate"]
    assert await counted(live) == 1


async def test_items_of_a_batch_are_answered_again_each_under_its_id(api: Api) -> None:
    live = await api.create(*"abcdefgh")
    items = [{"experiment_id": live.id, "request_id": f"item-{number}"} for number in range(100)]
    first = await api.post("/select/batch", {"items": [*items, items[0]]})
    assert len({item["result"]["decision_id"] for item in first["items"]}) == 100
    assert first["items"][100] == first["items"][0]
    assert await api.post("/select/batch", {"items": [*items, items[0]]}) == first
    assert await counted(live) == 100


async def test_an_answer_outlives_the_arm_and_the_weights_it_was_given_with(api: Api) -> None:
    live = await api.create("a", "b", policy={"name": "fixed", "params": {"weights": {"b": 1}}})
    first = await live.select(request_id="mine")
    await live.change("arms/b/retire")
    assert await live.select(request_id="mine") == first


async def test_a_request_is_named_once(api: Api) -> None:
    live = await api.create()
    for body in ({"request_id": "r", "decision_id": "mine"}, {"request_id": "no spaces"}, {"request_id": "x" * 129}):
        problem = await live.select(422, **body)
        assert [error["field"] for error in problem["errors"]] == ["request_id"]
    assert await counted(live) == 0


async def test_whoever_answers_with_a_decision_records_it(api: Api, module_settings: Settings) -> None:
    """The process that made it may have died after it claimed the request's id."""
    live = await api.create("a", "b", "c")
    now_ms = round(time.time() * 1_000)
    claims = DecisionClaims(live.id, 2, 0.25, decision_ms=now_ms, weights_version=1, revision=1)
    lost = msgspec.structs.replace(
        ANSWER,
        decision_id=DecisionIds(module_settings.decision_keys, secrets.token_bytes).issue(claims),
        experiment_id=live.id,
        arm="c",
        arm_index=2,
        propensity=0.25,
    )
    async with make_redis(module_settings.redis_url.get_secret_value(), timeout=5.0) as client:
        await client.set(ExperimentKeys(live.id).request("lost"), msgspec.json.encode(lost))
    answers = [await live.select(request_id="lost") for _ in range(3)]
    assert answers == [msgspec.to_builtins(lost)] * 3
    assert await counted(live) == 1
    assert (await live.arm("c"))["decisions"] == 1


async def test_without_the_store_a_request_is_a_new_decision(
    api: Api, settings_on: SettingsOn, run_replica: RunReplica, tmp_path: Path
) -> None:
    with RedisServer(tmp_path, options={"appendonly": "no"}) as server, settings_on(server) as settings:
        async with run_replica(settings) as http:
            live = await type(api)(http).create()
            first = await live.select(request_id="mine")
            server.stop()
            answers = [await live.select(request_id="mine") for _ in range(3)]
            assert len({answer["decision_id"] for answer in (first, *answers)}) == 4
            assert await counted(live) == 4


@pytest.fixture
def request_ids(redis_client: Redis) -> RequestIds:
    return RequestIds(OwnIds(redis_client), is_store_there=lambda: True)


async def test_an_answer_is_kept_for_ten_minutes(request_ids: RequestIds, redis_client: Redis) -> None:
    assert await request_ids.first("mine", ANSWER) is ANSWER
    assert KEPT_SECONDS - 5 < await redis_client.ttl(ExperimentKeys("homepage").request("mine")) <= KEPT_SECONDS == 600
    other = msgspec.structs.replace(ANSWER, decision_id="d1.other")
    assert await request_ids.first("mine", other) == ANSWER


async def test_an_answer_that_cannot_be_read_is_none(request_ids: RequestIds, redis_client: Redis) -> None:
    await redis_client.set(ExperimentKeys("homepage").request("mine"), b'{"of": "another version"}')
    assert await request_ids.first("mine", ANSWER) is ANSWER


async def test_a_store_that_is_away_is_not_waited_for(redis_client: Redis) -> None:
    request_ids = RequestIds(OwnIds(redis_client), is_store_there=lambda: False)
    assert await request_ids.first("mine", ANSWER) is ANSWER
    assert await redis_client.get(ExperimentKeys("homepage").request("mine")) is None


async def test_nobody_waits_for_a_claim_that_failed(
    request_ids: RequestIds, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(redis_client, "pipeline", fail)
    assert await request_ids.first("mine", ANSWER) is ANSWER
    monkeypatch.undo()
    other = msgspec.structs.replace(ANSWER, decision_id="d1.other")
    assert await request_ids.first("mine", other) is other
