"""What an earlier decision was is found wherever it is known, and nothing is denied that is only not known yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.asyncio

from bandit_service.redis_store.keys import ExperimentKeys

if TYPE_CHECKING:
    from conftest import StartApi


async def test_a_decision_for_an_arm_that_another_replica_has_not_heard_of_is_understood(start_api: StartApi) -> None:
    async with start_api() as first, start_api() as second:
        live = await first.create("a", "b")
        there = type(live)(second, live.id)
        await there.read("posterior")
        await live.patch(policy={"name": "fixed", "params": {"weights": {"a": 1}}})
        await live.change("arms", 201, id="c")
        await live.patch(policy={"name": "fixed", "params": {"weights": {"c": 1}}}, guardrails={"min_weight": 0})
        decision, mine = await live.select(), await live.select(decision_id="mine")
        assert (decision["arm"], mine["arm"]) == ("c", "c")
        assert (await there.reward(decision, 1))["arm"] == "c"
        assert await there.select(decision_id="mine") == mine


async def test_a_store_that_was_emptied_makes_a_caller_wait_and_never_denies_a_decision(
    start_api: StartApi, redis_url: str
) -> None:
    async with start_api() as api, redis.asyncio.Redis.from_url(redis_url) as client:
        live = await api.create()
        mine = await live.select(decision_id="mine")

        async def written() -> bool:
            return await client.xlen(ExperimentKeys(live.id).events) == 0

        await api.until(written)
        await client.flushall()
        statuses = []

        async def applied() -> bool:
            body = {"decision_id": "mine", "experiment_id": live.id, "reward": 1}
            statuses.append((await api.http.post("/reward", json=body)).status_code)
            return statuses[-1] == 200

        await api.until(applied, seconds=20.0)
        assert set(statuses) <= {503, 200}
        assert await live.added(mine["arm"]) == (1_000_000, 0)
