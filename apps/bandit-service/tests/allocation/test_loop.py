"""What the holder of a lease does by itself: weights follow beliefs within their limits, and rules conclude."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment

CLEAR = {"a": 1, "b": 0}
EVIDENCE = 60


async def report(live: LiveExperiment, **rewards: float) -> None:
    """Report clear evidence, without decisions."""
    items = [{"experiment_id": live.id, "arm": arm, "reward": reward} for arm, reward in rewards.items()]
    await live.api.post("/reward/batch", {"items": items * EVIDENCE})


async def weights(live: LiveExperiment) -> dict[str, float]:
    found: dict[str, float] = (await live.read("allocation"))["weights"]
    return found


async def status(live: LiveExperiment) -> str:
    return str((await live.api.get(f"/experiments/{live.id}"))["status"])


async def test_weights_follow_what_the_data_say(api: Api) -> None:
    live = await api.create("a", "b")
    assert await weights(live) == {"a": 0.5, "b": 0.5}
    await report(live, **CLEAR)

    async def moved() -> bool:
        return {each["propensity"] for each in await live.select_many(100)} <= {0.99, 0.01}

    await api.until(moved)
    assert await weights(live) == pytest.approx({"a": 0.99, "b": 0.01})


async def test_without_news_nothing_is_published(api: Api) -> None:
    live = await api.create()
    before = await live.read("allocation")
    await live.select_many(100)
    await asyncio.sleep(0.4)
    assert await live.read("allocation") == before


@pytest.mark.parametrize("most", [0.02, 0.1])
async def test_no_version_steps_further_than_the_limit_from_the_one_before(api: Api, most: float) -> None:
    live = await api.create("a", "b", guardrails={"max_step": most, "min_trials": 0}, update_every=0.05)
    seen: dict[int, dict[str, float]] = {}

    def steps() -> list[float]:
        followed = [(before, after) for before, after in pairwise(sorted(seen)) if after == before + 1]
        return [abs(seen[after]["a"] - seen[before]["a"]) for before, after in followed]

    async def has_stepped() -> bool:
        await live.report("a", 1)
        allocation = await live.read("allocation")
        seen[allocation["weights_version"]] = allocation["weights"]
        return len(steps()) >= 3

    await api.until(has_stepped, 30.0)
    assert max(steps()) > 0.9 * most
    assert max(steps()) <= most + 1e-9


async def test_updates_keep_their_distance(api: Api) -> None:
    live = await api.create(update_every=0.5)
    times = set()
    deadline = time.monotonic() + 1.6
    while time.monotonic() < deadline:
        await live.report("a", 1)
        times.add((await live.read("allocation"))["published_at"])
    assert min(after - before for before, after in pairwise(sorted(times))) >= 0.5


async def test_another_policy_shows_at_once(api: Api) -> None:
    live = await api.create("a", "b")
    await live.patch(policy={"name": "fixed", "params": {"weights": {"a": 1, "b": 3}}})
    allocation = await live.read("allocation")
    assert allocation["weights"] == pytest.approx({"a": 0.25, "b": 0.75})
    assert allocation["explanation"]["strategy"] == "fixed"


async def test_other_guardrails_show_at_once_and_are_explained(api: Api) -> None:
    live = await api.create("a", "b", policy={"name": "fixed", "params": {"weights": {"a": 1}}})
    assert (await weights(live))["b"] == pytest.approx(0.01)
    await live.patch(guardrails={"min_weight": 0.2})
    allocation = await live.read("allocation")
    assert allocation["weights"] == pytest.approx({"a": 0.8, "b": 0.2})
    assert "20%" in allocation["summary"]


async def test_a_paused_experiment_goes_on_learning_from_earlier_decisions(api: Api) -> None:
    live = await api.create("a", "b")
    decisions = await live.select_many(200)
    await live.change("pause")
    items = [{"decision_id": each["decision_id"], "reward": CLEAR[each["arm"]]} for each in decisions]
    await api.post("/reward/batch", {"items": items})

    async def moved() -> bool:
        return (await weights(live))["a"] > 0.9

    await api.until(moved)


def rule(**fields: Any) -> dict[str, Any]:
    return {"min_decisions_per_arm": 20, "prob_best": 0.95} | fields


async def decide_clearly(live: LiveExperiment) -> None:
    for _ in range(10):
        decisions = await live.select_many(100)
        items = [{"decision_id": each["decision_id"], "reward": CLEAR[each["arm"]]} for each in decisions]
        await live.api.post("/reward/batch", {"items": items})
        if min(arm["decisions"] for arm in (await live.read("posterior"))["arms"]) >= 20:
            return
    pytest.fail("both arms should have had their decisions by now")


async def test_a_stopping_rule_concludes_by_itself(api: Api) -> None:
    live = await api.create("a", "b", stopping=rule(), guardrails={"min_weight": 0.2})
    await decide_clearly(live)

    async def concluded() -> bool:
        return await status(live) == "concluded"

    await api.until(concluded)
    experiment = await api.get(f"/experiments/{live.id}")
    assert experiment["winner"] == "a"
    assert experiment["conclusion"]["prob_best"] > 0.95
    [change] = [each for each in (await api.get(f"/experiments/{live.id}/changes"))["items"] if each["revision"] == 2]
    assert change["who"] == "stopping rule"
    assert "winner: a" in change["why"]
    decision = await live.select()
    assert (decision["arm"], decision["stratum"]) == ("a", "concluded")
    verdict = await live.read("conclusion")
    assert (verdict["outcome"], verdict["winner"], verdict["stop"]) == ("winner", "a", True)


async def test_a_rule_that_only_advises_leaves_the_conclusion_to_people(api: Api) -> None:
    live = await api.create("a", "b", stopping=rule(auto_conclude=False), guardrails={"min_weight": 0.2})
    await decide_clearly(live)
    verdict = await live.read("conclusion")
    assert (verdict["stop"], verdict["arm"], verdict["status"]) == (True, "a", "running")
    await asyncio.sleep(1.5)
    assert await status(live) == "running"
    assert (await live.change("conclude"))["winner"] == "a"


async def test_an_undecided_experiment_that_ran_its_time_serves_the_default_arm(api: Api) -> None:
    live = await api.create("a", "b", default_arm="b", stopping=rule(max_duration=0.5))

    async def concluded() -> bool:
        return await status(live) == "concluded"

    await api.until(concluded)
    verdict = await live.read("conclusion")
    assert (verdict["outcome"], verdict["winner"]) == ("undecided", None)
    decision = await live.select()
    assert (decision["arm"], decision["stratum"]) == ("b", "concluded")


async def test_a_paused_experiment_is_not_concluded(api: Api) -> None:
    live = await api.create(stopping=rule(max_duration=0.1))
    await live.change("pause")
    await asyncio.sleep(1.5)
    assert await status(live) == "paused"
