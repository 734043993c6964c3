"""Decisions by features: each request has a vector of its own, and models are exact sums of outcomes."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest

from bandit_core.linear import LinearPrior
from bandit_core.linear_sums import LinearSums
from bandit_core.rules.linear_record import LinearRecord
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.publication import Mirror

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment, StartApi

    from bandit_service.settings import Settings

LINEAR: dict[str, Any] = {
    "policy": {"name": "linear_thompson", "params": {"alpha": 0.3}},
    "context": {"features": ["age", "is_mobile"]},
    "update_every": 0.05,
}


async def published(settings: Settings, live: LiveExperiment) -> LinearRecord:
    redis = make_redis(settings.redis_url.get_secret_value(), timeout=5.0)
    try:
        found = await Mirror(redis).linear(live.id)
    finally:
        await redis.aclose()
    assert found is not None
    return found


async def learnt(live: LiveExperiment, settings: Settings, outcomes: int) -> LinearRecord:
    """Wait until the published models have learnt from so many outcomes."""
    async with await psycopg.AsyncConnection.connect(settings.postgres_dsn.get_secret_value()) as connection:

        async def has_come() -> bool:
            cursor = await connection.execute(
                "SELECT count(*), max(batch) FROM bandit_events WHERE experiment_id = %s AND kind = 'outcome'",
                (live.id,),
            )
            await connection.commit()
            count, turn = (await cursor.fetchone()) or (0, 0)
            return bool(count == outcomes and (await published(settings, live)).turn >= turn)

        await live.api.until(has_come)
    return await published(settings, live)


async def test_a_request_is_drawn_from_the_vector_of_its_context(api: Api, module_settings: Settings) -> None:
    live = await api.create(**LINEAR)
    for reward, is_mobile in ((1.0, 1.0), (0.0, 0.0)) * 30:
        decision = await live.select(context={"age": 0.3, "is_mobile": is_mobile}, eligible_arms=["a"])
        await live.reward(decision, reward)
    await learnt(live, module_settings, 60)
    mobile, desktop = [
        {answer["arm"]: answer["propensity"] for answer in await live.select_many(60, context=[0.3, on_mobile])}
        for on_mobile in (1.0, 0.0)
    ]
    assert mobile["a"] > 0.9
    assert desktop.get("a", 0.0) < 0.6


async def test_a_batch_is_decided_and_logged_like_single_requests(api: Api, module_settings: Settings) -> None:
    live = await api.create(**LINEAR)
    for reward in (1.0, 0.0, 1.0):
        await live.reward(await live.select(context=[0.5, 1.0], eligible_arms=["a"]), reward)
    await learnt(live, module_settings, 3)
    contexts: list[Any] = [[0.3, 1.0], {"is_mobile": 0, "age": -0.0}, {"age": "old", "is_mobile": 1}, [0.9, True]]
    items = [{"experiment_id": live.id, "context": each} for each in contexts * 10]
    answer = await api.http.post("/select/batch", json={"items": items})
    found = answer.json()["items"]
    assert [item["status"] for item in found] == [200, 200, 422, 200] * 10
    for place in (0, 1, 3):
        alone = {each["arm"]: each["propensity"] for each in await live.select_many(40, context=contexts[place])}
        together = {item["result"]["arm"]: item["result"]["propensity"] for item in found[place::4]}
        assert all(together[arm] == pytest.approx(alone[arm], abs=1e-12) for arm in together.keys() & alone.keys())
    drawn = {item["result"]["decision_id"]: item["result"] for item in found if item["status"] == 200}
    texts = ["[0.3,1.0]", "[0.0,0.0]", None, "[0.9,1.0]"] * 10
    async with await psycopg.AsyncConnection.connect(
        module_settings.postgres_dsn.get_secret_value(), autocommit=True
    ) as connection:

        async def logged() -> list[tuple[str, float, str, list[str]]]:
            cursor = await connection.execute(
                "SELECT decision_id, propensity, context::text, features FROM decisions_v1"
                " JOIN experiments_v1 USING (experiment_id) WHERE decision_id = ANY(%s)",
                (list(drawn),),
            )
            return await cursor.fetchall()

        async def are_there() -> bool:
            return len(await logged()) == len(drawn)

        await api.until(are_there)
        for decision_id, propensity, context, features in await logged():
            place = next(n for n, item in enumerate(found) if item.get("result", {}).get("decision_id") == decision_id)
            assert (propensity, context, features) == (
                drawn[decision_id]["propensity"],
                texts[place],
                ["age", "is_mobile"],
            )


async def test_the_answer_says_what_it_was_drawn_from(api: Api) -> None:
    live = await api.create(**LINEAR)
    assert (await live.select(context=[0.1, 0.2]))["vector"] == "context"
    assert (await live.select(context=[0.1, 0.2], exclude_arms=["a"]))["propensity"] == 1.0


@pytest.mark.parametrize(
    ("context", "named"),
    [
        (None, "context"),
        ([0.1], "context"),
        ([0.1, 0.2, 0.3], "context"),
        ({"age": 0.1}, "is_mobile"),
        ({"age": 0.1, "is_mobile": 1, "tall": 1}, "tall"),
        ({"age": "old", "is_mobile": 1}, "age"),
        ([1e9, 0.0], "context"),
    ],
)
async def test_a_context_that_is_not_what_was_declared_is_refused_by_name(
    api: Api, context: object, named: str
) -> None:
    live = await api.create(**LINEAR)
    problem = await live.select(422, context=context)
    assert problem["errors"][0]["field"] == "context"
    assert named in problem["errors"][0]["message"] or named == "context"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_what_is_no_finite_number_is_refused(api: Api, number: str) -> None:
    live = await api.create(**LINEAR)
    body = f'{{"experiment_id": "{live.id}", "context": [0.5, {number}]}}'
    answer = await api.http.post("/select", content=body)
    assert answer.status_code in (400, 422)


async def test_a_reward_is_learnt_with_the_context_of_its_decision(api: Api, module_settings: Settings) -> None:
    live = await api.create(**LINEAR)
    decisions = [await live.select(context=[age, 1.0], eligible_arms=["b"]) for age in (0.1, 0.5, 0.9)]
    for decision, reward in zip(decisions, (0.25, 0.5, 1.0), strict=True):
        await live.reward(decision, reward)
        await live.reward(decision, reward)
    record = await learnt(live, module_settings, 3)
    x = np.array([[0.1, 1.0, 1.0], [0.5, 1.0, 1.0], [0.9, 1.0, 1.0]])
    expected = np.linalg.solve(np.eye(3) + x.T @ x, x.T @ np.array([0.25, 0.5, 1.0]))
    np.testing.assert_allclose(record.beliefs.theta[record.arms.index("b")], expected, atol=1e-12)


async def test_the_models_are_the_exact_sums_of_outcomes_whoever_wrote_at_once(
    start_api: StartApi, settings: Settings
) -> None:
    """Bit by bit, in any order, and also in a process that begins anew from Postgres."""
    async with start_api() as first, start_api() as second:
        live = await first.create(**LINEAR)
        sides = (live, type(live)(second, live.id))

        async def some(side: LiveExperiment, seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(20):
                decision = await side.select(context=rng.random(2).tolist())
                await side.reward(decision, float(rng.random()))

        await asyncio.gather(*(some(side, seed) for seed, side in enumerate(sides * 3)))
        record = await learnt(live, settings, 120)
    async with await psycopg.AsyncConnection.connect(settings.postgres_dsn.get_secret_value()) as connection:
        cursor = await connection.execute(
            "SELECT outcome.arm_index, decision.context, outcome.reward_micro,"
            " extract(epoch FROM outcome.event_time)::float8"
            " FROM bandit_events AS outcome"
            " JOIN bandit_events AS decision USING (experiment_id, decision_id, position, part, decision_time)"
            " WHERE experiment_id = %s AND outcome.kind = 'outcome' AND decision.kind = 'decision'"
            " ORDER BY md5(decision_id)",
            (live.id,),
        )
        rows = await cursor.fetchall()
    prior = LinearPrior(3)
    for place in (0, 1):
        own = [(context, micro, at) for index, context, micro, at in rows if index == place]
        vectors = np.array([[*context, 1.0] for context, _, _ in own])
        micros, times = np.array([micro for _, micro, _ in own]), np.array([at for _, _, at in own])
        model = LinearSums.of(prior).plus(vectors, micros, times).model(prior, max(at for *_, at in rows))
        assert model.mean.tobytes() == record.beliefs.theta[place].tobytes()
        assert model.covariance.tobytes() == record.beliefs.covariance[place].tobytes()
    async with start_api() as third:
        live = type(live)(third, live.id)
        await live.select(context=[0.0, 0.0])
        again = await published(settings, live)
        assert again.theta == record.theta
        assert again.covariance == record.covariance


async def test_an_arm_that_joins_is_drawn_from_then_on(api: Api) -> None:
    live = await api.create(**LINEAR)
    await live.change("arms", 201, id="c")
    assert (await live.select(context=[0.1, 0.2], eligible_arms=["c"]))["arm"] == "c"
    assert (await live.read("allocation"))["weights"].keys() == {"a", "b", "c"}


async def test_an_arm_that_was_paused_comes_back_with_what_it_has_learnt(api: Api, module_settings: Settings) -> None:
    live = await api.create(**LINEAR)
    await live.report("b", 1, context=[0.5, 0.5])
    before = await learnt(live, module_settings, 1)
    await live.change("arms/b/pause")
    assert {answer["arm"] for answer in await live.select_many(10, context=[0.5, 0.5])} == {"a"}
    assert (await live.read("allocation"))["weights"].keys() == {"a"}
    await live.report("b", 1, context=[0.5, 0.5])
    meanwhile = await learnt(live, module_settings, 2)
    await live.change("arms/b/resume")
    after = await published(module_settings, live)
    assert after.arms == ("a", "b")
    assert np.array_equal(after.beliefs.theta, meanwhile.beliefs.theta)
    assert np.linalg.norm(after.beliefs.theta[1]) > np.linalg.norm(before.beliefs.theta[1]) > 0.0


async def test_a_direct_reward_brings_its_context(api: Api, module_settings: Settings) -> None:
    live = await api.create(**LINEAR)
    await live.report("a", 1.0, context={"age": 1.0, "is_mobile": 0.0})
    record = await learnt(live, module_settings, 1)
    np.testing.assert_allclose(record.beliefs.theta[0], [1 / 3, 0.0, 1 / 3], atol=1e-12)
    assert "context" in (await live.report("a", 1.0, 422))["errors"][0]["field"]


async def test_missing_rewards_that_are_zeros_are_learnt_with_their_context(
    api: Api, module_settings: Settings
) -> None:
    live = await api.create(**LINEAR, missing_reward="zero", reward_window=0.4)
    clicked = await live.select(context=[1.0, 0.0], eligible_arms=["a"])
    await live.select(context=[0.0, 1.0], eligible_arms=["a"])
    await live.reward(clicked, 1.0)
    record = await learnt(live, module_settings, 2)
    x = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    expected = np.linalg.solve(np.eye(3) + x.T @ x, x.T @ np.array([1.0, 0.0]))
    np.testing.assert_allclose(record.beliefs.theta[0], expected, atol=1e-12)


async def test_the_weights_shown_are_the_average_over_contexts(api: Api) -> None:
    live = await api.create(**LINEAR)
    allocation = await live.read("allocation")
    assert math.isclose(sum(allocation["weights"].values()), 1.0)
    assert "Linear Thompson sampling" in allocation["summary"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"context": None}, "context"),
        ({"stopping": {"prob_best": 0.95}}, "stopping.prob_best"),
        ({"assignment": "sticky"}, "assignment"),
        ({"guardrails": {"preset": "safe"}}, "guardrails"),
        ({"rewards": {"distribution": "gaussian"}}, "policy.name"),
        ({"segment_by": [{"field": "a", "values": ["b"], "default": "b"}]}, "segment_by"),
        ({"context": {"dimension": 128, "intercept": False}, "arms": [f"arm-{n}" for n in range(62)]}, "context"),
    ],
)
async def test_what_does_not_go_with_a_linear_policy_is_refused(api: Api, changes: dict[str, Any], field: str) -> None:
    fields = {"experiment_id": "never-made", "arms": ["a", "b"]} | LINEAR | changes
    problem = await api.post("/experiments", fields, 422)
    assert problem["errors"][0]["field"] == field


async def test_how_a_model_learns_cannot_be_changed_while_how_it_explores_can(api: Api) -> None:
    live = await api.create(**LINEAR)
    await live.patch(policy={"name": "linucb", "params": {"alpha": 2.0}})
    answer = await api.http.patch(
        f"/experiments/{live.id}", json={"reason": "a test", "policy": {"name": "linucb", "params": {"ridge": 5.0}}}
    )
    assert answer.status_code == 409
