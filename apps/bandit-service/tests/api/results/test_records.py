"""Snapshots and evaluations are kept on request, and nothing is believed because of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from bandit_service.domain.totals import Totals, decode_totals
from bandit_service.mirror.keys import ExperimentKeys

if TYPE_CHECKING:
    from conftest import Api, StartApi
    from redis.asyncio import Redis

    from bandit_service.ledger.pool import Pool

RESULT = {"behavior_policy": "random", "evaluation_policy": "bts", "method": "dr", "n": 10, "ess": 5.0, "coverage": 1.0}


async def test_a_snapshot_is_the_posterior(api: Api) -> None:
    live = await api.create("a", "b")
    for number, decision in enumerate(await live.select_many(30)):
        await live.reward(decision, float(number % 3 == 0))
    kept = await api.post(f"/experiments/{live.id}/snapshots", {})
    believed = (await live.read("posterior"))["arms"]
    assert kept["taken"]
    for arm, snapshot in zip(believed, kept["arms"], strict=True):
        same = ("arm", "alpha", "beta", "decisions", "rewards", "reward_sum")
        assert {name: arm[name] for name in same} == {name: snapshot[name] for name in same}
        assert snapshot["mean"] == pytest.approx(arm["mean"])


async def test_a_snapshot_waits_for_events(api: Api) -> None:
    live = await api.create("a", "b")
    path = f"/experiments/{live.id}/snapshots"
    empty = await api.post(path, {})
    assert (empty["taken"], empty["taken_at"], empty["arms"]) == (False, None, [])
    await live.reward((await live.select_many(1))[0], 1.0)
    assert not (await api.post(path, {"min_events": 3}))["taken"]
    first = await api.post(path, {"min_events": 2})
    again = await api.post(path, {})
    assert (first["taken"], again["taken"], again["taken_at"]) == (True, False, first["taken_at"])
    assert (await api.post(path, {"min_events": 0}))["taken"]


async def test_nothing_is_rebuilt_from_a_snapshot(start_api: StartApi, redis_client: Redis) -> None:
    async with start_api() as api:
        gaussian = await api.create("a", "b", rewards={"distribution": "gaussian", "unit": 10})
        fields = [{"field": "country", "values": ["de", "fr"], "default": "de"}]
        segments = await api.create("a", "b", segment_by=fields)
        for number in range(40):
            country = {"country": "fr" if number % 3 else "de"}
            await gaussian.reward(await gaussian.select(), float(number % 2))
            await segments.reward(await segments.select(context=country), float(number % 2))
        before = [beliefs(await live.read("posterior")) for live in (gaussian, segments)]
        for live in (gaussian, segments):
            assert (await api.post(f"/experiments/{live.id}/snapshots", {}))["taken"]
        await redis_client.flushall()
        rewards, micro = await segment_counters(redis_client, segments.id, rewards=40)
        assert (sum(rewards.values()), sum(micro.values())) == (40, 20_000_000)
        assert {segment for segment, _ in rewards} == {"de", "fr"}
        assert [beliefs(await live.read("posterior")) for live in (gaussian, segments)] == before


async def segment_counters(client: Redis, name: str, *, rewards: int) -> tuple[dict[Any, int], dict[Any, int]]:
    """Return what Redis counts by segment, once it has so many rewards."""
    deadline = time.monotonic() + 60.0
    while True:
        found: Any = await client.get(ExperimentKeys(name).totals)
        totals = Totals() if found is None else decode_totals(found)
        if sum(totals.segment_rewards.values()) == rewards:
            return totals.segment_rewards, totals.segment_micro
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


def beliefs(report: dict[str, Any]) -> list[Any]:
    return [(arm["arm"], arm["mean"], arm["interval"], arm["rewards"], arm["reward_sum"]) for arm in report["arms"]]


async def test_an_evaluation_replaces_the_one_before(start_api: StartApi, pool: Pool) -> None:
    async with start_api() as api:
        for estimate in (0.1, 0.2):
            for dataset in ("obp/women", "obp/men"):
                body = {"dataset": dataset, "digest": "x", "results": [RESULT | {"estimate": estimate}]}
                kept = await api.post("/experiments/obp/evaluations", body)
                assert kept == {"experiment_id": "obp", "dataset": dataset, "results": 1}
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT dataset, estimate FROM ope_results_v1 ORDER BY 1")).fetchall()
    assert rows == [("obp/men", 0.2), ("obp/women", 0.2)]


async def test_an_evaluation_names_each_result_once(api: Api) -> None:
    body = {"dataset": "obp", "digest": "x", "results": [RESULT | {"estimate": 0.1}] * 2}
    problem = await api.post("/experiments/obp/evaluations", body, 422)
    assert "twice" in problem["errors"][0]["message"]


async def test_by_rule_an_experiment_ends_when_its_rule_says_so(api: Api) -> None:
    rule = {"prob_best": 0.6, "min_decisions_per_arm": 1, "auto_conclude": True}
    waiting = await api.create("a", "b", stopping=rule | {"min_decisions": 10_000})
    by_hand = await api.create("a", "b", stopping=rule | {"auto_conclude": False})
    without = await api.create("a", "b")
    for live in (waiting, by_hand, without):
        for decision in await live.select_many(20):
            await live.reward(decision, float(decision["arm"] == "a"))
        assert (await live.change("conclude", by_rule=True))["status"] == "running"
    assert (await by_hand.read("conclusion"))["stop"]
    await waiting.patch(stopping=rule)
    ended = await waiting.change("conclude", by_rule=True)
    assert (ended["status"], ended["winner"], ended["conclusion"]["outcome"]) == ("concluded", "a", "winner")
    assert (await waiting.change("conclude", by_rule=True))["revision"] == ended["revision"]


async def test_by_rule_nobody_names_a_winner(api: Api) -> None:
    live = await api.create("a", "b")
    await live.change("conclude", 422, by_rule=True, winner="a")
