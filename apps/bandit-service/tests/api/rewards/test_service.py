"""Rewards end to end: once each, in time, in the stratum of their decision, in exact millionths."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis
from msgspec.structs import replace

from bandit_service.domain.event import decode_event, encode_event
from bandit_service.domain.own_decision import decode_own_decision, encode_own_decision
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.settings import Settings

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment

FIXED_ON_A = {"name": "fixed", "params": {"weights": {"a": 1}}}


async def total_added(live: LiveExperiment) -> tuple[int, ...]:
    """Return what data added to all alphas and all betas together."""
    arms = [arm["arm"] for arm in (await live.read("posterior"))["arms"]]
    return tuple(map(sum, zip(*[await live.added(arm) for arm in arms], strict=True)))


async def test_a_reward_counts_once(api: Api) -> None:
    live = await api.create()
    decision = await live.select()
    assert (await live.reward(decision, 1))["status"] == "applied"
    assert (await live.reward(decision, 1))["status"] == "duplicate"
    assert (await live.reward(decision, 0))["status"] == "duplicate"
    assert await live.added(decision["arm"]) == (1_000_000, 0)


async def test_rewards_that_race_for_one_decision_count_once(api: Api) -> None:
    live = await api.create()
    decision = await live.select()
    answers = await asyncio.gather(*(live.reward(decision, 1) for _ in range(60)))
    assert sorted(answer["status"] for answer in answers) == ["applied"] + ["duplicate"] * 59
    assert await live.added(decision["arm"]) == (1_000_000, 0)


async def test_a_reward_by_an_id_of_ones_own_is_for_the_decision_that_the_ledger_has(
    api: Api, module_settings: Settings
) -> None:
    """Until the ledger's winner overwrites it, the store may hold the claim of a decision that has lost the id."""
    live = await api.create("a", "b", policy={"name": "fixed", "params": {"weights": {"b": 1}}})
    await live.select(decision_id="mine")
    key = ExperimentKeys(live.id).own("mine")
    with redis.Redis.from_url(module_settings.redis_url.get_secret_value()) as store:
        winner = decode_event(cast("bytes", store.get(key)))
        claim = decode_own_decision(winner.claim or "")
        lost = encode_own_decision(replace(claim, arm_index=0, decision_ms=claim.decision_ms + 1)).decode()
        store.set(key, encode_event(replace(winner, arm_index=0, decision_ms=winner.decision_ms + 1, claim=lost)))
    answer = await api.post("/reward", {"decision_id": "mine", "experiment_id": live.id, "reward": 1.0})
    assert (answer["status"], answer["arm"]) == ("applied", "b")


async def decided(live: LiveExperiment, decision: dict[str, Any]) -> str:
    """Report a reward until it is decided: while Postgres is slow it is only queued."""
    body = {"decision_id": decision["decision_id"], "experiment_id": live.id, "reward": 1}
    while (status := (await live.api.http.post("/reward", json=body)).json()["status"]) == "queued":
        await asyncio.sleep(0.1)
    return str(status)


async def test_rewards_by_ids_of_ones_own_that_race_count_once(api: Api) -> None:
    """More of them than there are connections to the store: those beyond wait instead of failing."""
    live = await api.create()
    mine = await live.select(decision_id="mine")
    told = await asyncio.gather(*(decided(live, mine) for _ in range(150)))
    # The one that counts may have been queued first: then nobody is told that it was applied.
    assert sorted(told)[1:] == ["duplicate"] * 149
    assert await live.added(mine["arm"]) == (1_000_000, 0)


@pytest.mark.parametrize(
    ("reward", "micro"),
    [(0, 0), (1, 1_000_000), (0.1, 100_000), (1 / 3, 333_333), (2 / 3, 666_667), (1e-7, 0), (0.9999999, 1_000_000)],
)
async def test_a_reward_is_rounded_once_to_millionths(api: Api, reward: float, micro: int) -> None:
    live = await api.create()
    answer = await live.report("a", reward)
    assert answer["reward"] == micro / 1_000_000
    assert await live.added("a") == (micro, 1_000_000 - micro)


async def test_the_same_thirds_in_any_number_add_up_exactly(api: Api) -> None:
    live = await api.create()
    item = {"experiment_id": live.id, "arm": "a", "reward": 1 / 3}
    await api.post("/reward/batch", {"items": [item] * 999})
    assert await live.added("a") == (999 * 333_333, 999 * 666_667)


async def test_a_late_reward_is_refused_every_time(api: Api) -> None:
    live = await api.create(reward_window=0.05)
    decision = await live.select()
    await asyncio.sleep(0.1)
    problem = await live.reward(decision, 1, 410)
    assert "0.05 s" in problem["detail"]
    await live.reward(decision, 1, 410)
    assert await live.added(decision["arm"]) == (0, 0)


async def test_a_repetition_of_a_reward_that_was_in_time_stays_a_duplicate(api: Api) -> None:
    live = await api.create(reward_window=0.3)
    decision = await live.select()
    await live.reward(decision, 1)
    await asyncio.sleep(0.4)
    assert (await live.reward(decision, 1))["status"] == "duplicate"


async def test_a_late_item_of_a_batch_is_refused_alone(api: Api) -> None:
    live = await api.create(reward_window=0.3)
    old = await live.select()
    await asyncio.sleep(0.4)
    new = await live.select()
    items = [{"decision_id": each["decision_id"], "reward": 1} for each in (old, new)]
    answered = (await api.post("/reward/batch", {"items": items}))["items"]
    assert [item["status"] for item in answered] == [410, 200]


async def test_a_direct_reward_counts_every_time_unless_it_brings_an_id(api: Api) -> None:
    live = await api.create()
    assert [(await live.report("a", 1))["status"] for _ in range(2)] == ["applied"] * 2
    assert [(await live.report("b", 1, reward_id="r-1"))["status"] for _ in range(2)] == ["applied", "duplicate"]
    assert (await live.added("a"), await live.added("b")) == ((2_000_000, 0), (1_000_000, 0))


async def test_the_id_of_a_direct_reward_is_nobody_elses(api: Api) -> None:
    """Neither an id of one's own for a decision, however it is spelled, nor the other experiment's."""
    live, other = await api.create(), await api.create()
    for name in ("r-1", "r:r-1", "direct:r-1"):
        mine = await live.select(decision_id=name)
        assert (await live.reward(mine, 1, experiment_id=live.id))["status"] == "applied"
    assert (await live.report("a", 1, reward_id="r-1"))["status"] == "applied"
    assert (await other.report("a", 1, reward_id="r-1"))["status"] == "applied"


async def test_a_reward_before_the_activation_counts_once_the_decision_was_shown(api: Api) -> None:
    live = await api.create()
    decision = await live.select(defer_activation=True)
    assert (await live.reward(decision, 1))["status"] == "applied"
    assert await live.added(decision["arm"]) == (0, 0)
    await api.post("/activate", {"decision_id": decision["decision_id"]})

    async def counts() -> bool:
        return await live.added(decision["arm"]) == (1_000_000, 0)

    await api.until(counts)
    assert (await live.reward(decision, 0))["reward"] == 1.0


MODELS: list[tuple[dict[str, Any], Any, float | None]] = [
    ({"type": "binary"}, "success", 1.0),
    ({"type": "binary"}, False, 0.0),
    ({"type": "binary"}, 1, 1.0),
    ({"type": "ternary"}, "success", 1.0),
    ({"type": "ternary"}, "neutral", None),
    ({"type": "ternary"}, -1, 0.0),
    ({"type": "ternary", "neutral": 0.5}, 0, 0.5),
    ({"type": "threshold", "success": 4, "failure": 2}, 5, 1.0),
    ({"type": "threshold", "success": 4, "failure": 2}, 3, None),
    ({"type": "threshold", "success": 4, "failure": 2}, 1.5, 0.0),
    ({"type": "map", "outcomes": {"click": 1, "skip": None, "read": 0.3}}, "read", 0.3),
    ({"type": "map", "outcomes": {"click": 1, "skip": None, "read": 0.3}}, "skip", None),
    ({"type": "map", "outcomes": {"rating": {"success": 4, "failure": 2}}}, {"rating": 4}, 1.0),
]


@pytest.mark.parametrize(("model", "outcome", "reward"), MODELS)
async def test_an_outcome_becomes_the_reward_its_model_says(
    api: Api, model: dict[str, Any], outcome: object, reward: float | None
) -> None:
    live = await api.create(reward_model=model)
    decision = await live.select()
    answer = await live.reward(decision, outcome=outcome)
    assert (answer["status"], answer["reward"]) == ("ignored" if reward is None else "applied", reward)
    micro = 0 if reward is None else round(reward * 1_000_000)
    assert await live.added(decision["arm"]) == ((0, 0) if reward is None else (micro, 1_000_000 - micro))


async def test_an_ignored_outcome_uses_its_decision_up(api: Api) -> None:
    live = await api.create(reward_model={"type": "ternary"})
    decision = await live.select()
    assert (await live.reward(decision, outcome="neutral"))["status"] == "ignored"
    assert (await live.reward(decision, outcome="success"))["status"] == "duplicate"
    assert await live.added(decision["arm"]) == (0, 0)


@pytest.mark.parametrize("outcome", ["sucess", 2, {"success": 1}, {}, {"a": 1, "b": 2}, ""])
async def test_an_unknown_outcome_lists_the_known_ones_and_uses_nothing_up(api: Api, outcome: object) -> None:
    live = await api.create(reward_model={"type": "binary"})
    decision = await live.select()
    problem = await live.reward(decision, None, 422, outcome=outcome)
    assert problem["errors"][0]["field"] == "outcome"
    assert "success" in problem["detail"]
    assert (await live.reward(decision, outcome="success"))["status"] == "applied"


async def test_an_outcome_needs_a_model_and_a_plain_reward_does_not(api: Api) -> None:
    plain, modelled = await api.create(), await api.create(reward_model={"type": "binary"})
    await plain.reward(await plain.select(), None, 422, outcome="success")
    assert (await modelled.reward(await modelled.select(), 0.5))["reward"] == 0.5


async def test_rewards_of_decisions_made_while_paused_are_kept_but_not_believed(api: Api) -> None:
    live = await api.create()
    await live.change("pause")
    decision = await live.select()
    assert (await live.reward(decision, 1))["status"] == "applied"
    assert (await live.reward(decision, 1))["status"] == "duplicate"
    assert await live.added(decision["arm"]) == (0, 0)


async def test_rewards_of_decisions_made_after_the_conclusion_are_kept_but_not_believed(api: Api) -> None:
    live = await api.create()
    await live.change("conclude", winner="a")
    assert (await live.reward(await live.select(), 1))["status"] == "applied"
    assert await live.added("a") == (0, 0)


async def test_rewards_of_the_holdout_are_kept_but_not_believed(api: Api) -> None:
    live = await api.create(holdout=0.9, control_arm="a")
    decisions = [await live.select(unit_id=str(number)) for number in range(20)]
    held = [decision for decision in decisions if decision["stratum"] == "holdout"]
    assert held
    for decision in held:
        assert (await live.reward(decision, 1))["status"] == "applied"
    assert await total_added(live) == (0, 0)


@pytest.mark.parametrize("ending", ["pause", "archive", "retire", "conclude"])
async def test_what_becomes_of_an_experiment_does_not_cost_earlier_decisions_their_reward(
    api: Api, ending: str
) -> None:
    live = await api.create("a", "b", policy=FIXED_ON_A, guardrails={"min_weight": 0}, default_arm="b")
    decision = await live.select()
    assert decision["arm"] == "a"
    match ending:
        case "pause":
            await live.change("pause")
        case "archive":
            await live.archive()
        case "retire":
            await live.change("arms/a/retire")
        case _:
            await live.change("conclude", winner="b")
    assert (await live.reward(decision, 1))["status"] == "applied"
    assert await live.added("a") == (1_000_000, 0)


async def test_an_archived_experiment_takes_no_direct_rewards(api: Api) -> None:
    live = await api.create()
    await live.archive()
    await live.report("a", 1, 409)


async def test_an_arm_that_joined_adds_its_rewards_to_its_prior(api: Api) -> None:
    live = await api.create()
    await live.change("arms", 201, id="c", prior={"alpha": 2, "beta": 20})
    await live.report("c", 0.25)
    arm = await live.arm("c")
    assert (arm["alpha"], arm["beta"], arm["rewards"]) == (2.25, 20.75, 1)


async def test_where_missing_means_zero_every_outcome_enters_when_its_window_closes(api: Api) -> None:
    live = await api.create("a", "b", missing_reward="zero", reward_window=1.0, policy=FIXED_ON_A)
    decisions = [each for each in await live.select_many(6) if each["arm"] == "a"]
    assert len(decisions) > 2
    assert (await live.reward(decisions[0], 0.75))["status"] == "applied"
    assert (await live.reward(decisions[0], 0.75))["status"] == "duplicate"
    assert await live.added("a") == (0, 0)
    expected = (750_000, len(decisions) * 1_000_000 - 750_000)

    async def closed() -> bool:
        return await live.added("a") == expected

    await api.until(closed)
    await live.reward(decisions[1], 1, 410)
    assert await live.added("a") == expected


async def test_where_missing_means_zero_an_ignored_outcome_enters_as_nothing(api: Api) -> None:
    live = await api.create(missing_reward="zero", reward_window=0.5, reward_model={"type": "ternary"})
    ignored, missing = await live.select_many(2)
    await live.reward(ignored, outcome="neutral")

    async def closed() -> bool:
        return await total_added(live) == (0, 1_000_000)

    await api.until(closed)
    await asyncio.sleep(0.2)
    assert await closed()
    assert (await live.arm(missing["arm"]))["rewards"] == 1


async def test_where_missing_means_zero_a_deferred_decision_that_was_not_shown_is_no_zero(api: Api) -> None:
    live = await api.create(missing_reward="zero", reward_window=0.5)
    await live.select(defer_activation=True)
    shown = await live.select(defer_activation=True)
    await api.post("/activate", {"decision_id": shown["decision_id"]})

    async def closed() -> bool:
        return await total_added(live) == (0, 1_000_000)

    await api.until(closed)
    await asyncio.sleep(0.2)
    assert await closed()


async def test_where_missing_means_zero_neither_a_pause_nor_a_holdout_adds_zeros(api: Api) -> None:
    live = await api.create(missing_reward="zero", reward_window=0.1, holdout=0.5, control_arm="a")
    decisions = [await live.select(unit_id=str(number)) for number in range(20)]
    believed = sum(decision["stratum"] == "bandit" for decision in decisions)
    assert 0 < believed < 20
    await live.change("pause")
    await live.select(unit_id="1")

    async def closed() -> bool:
        return await total_added(live) == (0, believed * 1_000_000)

    await api.until(closed)
    await asyncio.sleep(0.2)
    assert await closed()


async def test_an_outcome_of_a_concluded_experiment_still_enters_when_its_window_closes(api: Api) -> None:
    live = await api.create(missing_reward="zero", reward_window=0.5)
    decision = await live.select()
    await live.change("conclude", winner="a")
    assert (await live.reward(decision, 1))["status"] == "applied"

    async def closed() -> bool:
        return await live.added(decision["arm"]) == (1_000_000, 0)

    await api.until(closed)
