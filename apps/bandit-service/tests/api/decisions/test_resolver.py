"""What an earlier decision was is found wherever it is known, and nothing is denied that is only not known yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.asyncio

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


async def test_a_decision_under_an_own_id_is_found_after_the_store_was_emptied(
    start_api: StartApi, redis_url: str
) -> None:
    async with start_api() as api, redis.asyncio.Redis.from_url(redis_url) as client:
        live = await api.create()
        mine = await live.select(decision_id="mine")
        await client.flushall()
        rewarded = await live.reward({"decision_id": "mine"}, 1, experiment_id=live.id)
        assert rewarded["status"] == "applied"
        assert await live.select(decision_id="mine") == mine


async def test_a_decision_under_an_own_id_is_found_at_every_replica_at_once(start_api: StartApi) -> None:
    async with start_api() as first, start_api() as second:
        live = await first.create()
        there = type(live)(second, live.id)
        await there.read("posterior")
        for number in range(20):
            own = f"mine-{number}"
            await live.select(decision_id=own)
            assert (await there.reward({"decision_id": own}, 1, experiment_id=live.id))["status"] == "applied"
