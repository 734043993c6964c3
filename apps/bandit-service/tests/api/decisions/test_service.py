"""Decisions end to end: idempotence, activation, strata, and arms that come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import redis

from bandit_local.servers import RedisServer
from bandit_service.mirror.keys import ExperimentKeys

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment, StartApi


async def counted(live: LiveExperiment) -> int:
    """Return how many decisions count for the bandit."""
    return sum(arm["decisions"] for arm in (await live.read("posterior"))["arms"])


async def test_the_same_id_again_is_the_same_decision(api: Api) -> None:
    live = await api.create(*"abcdefgh")
    first = await live.select(decision_id="order-4711")
    assert first["decision_id"] == "order-4711"
    assert [await live.select(decision_id="order-4711") for _ in range(5)] == [first] * 5
    assert await counted(live) == 1


async def test_requests_that_race_for_one_id_get_one_decision(api: Api) -> None:
    """More of them than there are connections to the store: those beyond wait instead of failing."""
    live = await api.create(*"abcdefgh")
    answers = await asyncio.gather(*(live.select(decision_id="order-4711") for _ in range(150)))
    assert answers == [answers[0]] * 150
    assert await counted(live) == 1


async def test_two_replicas_agree_on_one_id(start_api: StartApi) -> None:
    async with start_api() as first, start_api() as second:
        live = await first.create(*"abcdefgh")
        there = type(live)(second, live.id)
        answers = await asyncio.gather(*(side.select(decision_id="mine") for side in (live, there) * 10))
        assert answers == [answers[0]] * 20


async def test_the_same_id_in_two_experiments_is_two_decisions(api: Api) -> None:
    first, second = await api.create(), await api.create()
    for live in (first, second):
        await live.select(decision_id="mine")
        assert await counted(live) == 1


async def test_a_repeated_decision_keeps_the_weights_version_it_was_made_with(api: Api) -> None:
    live = await api.create()
    first = await live.select(decision_id="mine")
    await live.patch(policy={"name": "uniform"})
    assert (await live.select())["weights_version"] > first["weights_version"]
    assert await live.select(decision_id="mine") == first


async def test_a_repeated_decision_for_an_arm_that_retired_meanwhile_is_still_that_decision(api: Api) -> None:
    live = await api.create("a", "b", policy={"name": "fixed", "params": {"weights": {"b": 1}}})
    first = await live.select(decision_id="mine")
    await live.change("arms/b/retire")
    assert await live.select(decision_id="mine") == first


@pytest.mark.parametrize("rewarded", [True, False])
async def test_an_own_id_that_comes_back_after_its_window_is_the_same_decision(
    api: Api, api_redis_server: RedisServer, *, rewarded: bool
) -> None:
    live = await api.create(*"abcdefgh", reward_window=0.5)
    first = await live.select(decision_id="mine")
    if rewarded:
        await live.reward(first, 1.0, experiment_id=live.id)
    await asyncio.sleep(0.6)
    with redis.Redis.from_url(api_redis_server.url) as store:
        # As after a day.
        store.delete(ExperimentKeys(live.id).own("mine"))
    assert await live.select(decision_id="mine") == first
    assert await counted(live) == 1
    answer = await live.reward(first, 0.0, 200 if rewarded else 410, experiment_id=live.id)
    assert not rewarded or (answer["status"], answer["reward"]) == ("duplicate", 1.0)


async def test_a_deferred_decision_counts_once_it_was_shown(api: Api) -> None:
    live = await api.create()
    decision = await live.select(defer_activation=True)
    assert await counted(live) == 0
    body = {"decision_id": decision["decision_id"]}
    activated = {"status": "activated", "decision_id": decision["decision_id"], "experiment_id": live.id}
    assert await api.post("/activate", body) == activated
    assert await api.post("/activate", body) == activated | {"status": "duplicate"}
    assert await counted(live) == 1


async def test_a_deferred_decision_with_an_id_of_ones_own_is_activated_by_that(api: Api) -> None:
    live = await api.create()
    await live.select(decision_id="mine", defer_activation=True)
    answer = await api.post("/activate", {"decision_id": "mine", "experiment_id": live.id})
    assert answer["status"] == "activated"
    assert await counted(live) == 1


async def test_a_decision_that_was_not_deferred_cannot_be_activated(api: Api) -> None:
    live = await api.create()
    decision = await live.select()
    await api.post("/activate", {"decision_id": decision["decision_id"]}, 409)


async def test_an_activation_after_the_reward_window_is_too_late(api: Api) -> None:
    live = await api.create(reward_window=0.05)
    decision = await live.select(defer_activation=True)
    await asyncio.sleep(0.1)
    await api.post("/activate", {"decision_id": decision["decision_id"]}, 410)
    assert await counted(live) == 0


async def test_a_unit_sticks_to_its_arm(api: Api) -> None:
    live = await api.create(*"abcd", assignment="sticky")
    arms = {unit: (await live.select(unit_id=unit))["arm"] for unit in map(str, range(20))}
    assert len(set(arms.values())) > 1
    assert {unit: (await live.select(unit_id=unit))["arm"] for unit in arms} == arms


async def test_the_holdout_gets_the_control_arm_and_is_counted_apart(api: Api) -> None:
    live = await api.create("a", "b", holdout=0.5, control_arm="b")
    decisions = [await live.select(unit_id=str(number)) for number in range(40)]
    strata = Counter(decision["stratum"] for decision in decisions)
    assert set(strata) == {"bandit", "holdout"}
    assert {(each["arm"], each["propensity"]) for each in decisions if each["stratum"] == "holdout"} == {("b", 1.0)}
    assert await counted(live) == strata["bandit"]


async def test_a_pause_serves_the_default_arm_and_counts_for_nobody(api: Api) -> None:
    live = await api.create("a", "b", default_arm="b")
    await live.change("pause")
    decision = await live.select()
    assert (decision["arm"], decision["propensity"], decision["stratum"]) == ("b", 1.0, "paused")
    assert await counted(live) == 0
    await live.change("resume")
    assert (await live.select())["stratum"] == "bandit"


async def test_a_conclusion_serves_the_winner(api: Api) -> None:
    live = await api.create("a", "b")
    await live.change("conclude", winner="b")
    decision = await live.select()
    assert (decision["arm"], decision["propensity"], decision["stratum"]) == ("b", 1.0, "concluded")
    assert await counted(live) == 0


async def test_an_arm_that_joins_is_served_at_the_floor(api: Api) -> None:
    live = await api.create("a", "b", guardrails={"min_weight": 0.1})
    await live.change("arms", 201, id="c")
    allocation = await live.read("allocation")
    assert allocation["weights"]["c"] == pytest.approx(0.1)
    served = {each["arm"]: each["propensity"] for each in await live.select_many(300)}
    assert served == pytest.approx(allocation["weights"])


async def test_an_arm_that_retires_gets_no_traffic_from_then_on(api: Api) -> None:
    live = await api.create("a", "b", "c")
    await live.change("arms/b/retire")
    decisions = await live.select_many(200)
    assert {decision["arm"] for decision in decisions} == {"a", "c"}
    assert {decision["propensity"] for decision in decisions} == {0.5}


async def test_another_replica_masks_a_retired_arm_as_soon_as_it_hears_of_it(start_api: StartApi) -> None:
    """Before new weights are published, that is: the remaining ones are renormalised."""
    async with start_api() as first, start_api() as second:
        live = await first.create("a", "b", "c")
        there = type(live)(second, live.id)
        await there.select()
        await live.change("arms/b/retire")
        await there.select()
        await asyncio.sleep(0.1)
        assert {decision["arm"] for decision in await there.select_many(100)} == {"a", "c"}


async def test_a_new_experiment_can_be_selected_from_the_moment_it_exists(api: Api) -> None:
    await api.post("/select", {"experiment_id": "soon"}, 404)
    live = await api.create(experiment_id="soon")
    assert (await live.select())["recorded"]
