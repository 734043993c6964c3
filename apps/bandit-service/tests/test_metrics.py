"""What Prometheus scrapes, read back with its own parser."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_service.metrics import ARMS_PER_EXPERIMENT, EXPERIMENTS, OTHER, Metrics
from bandit_service.spool.pending import Limits

if TYPE_CHECKING:
    from conftest import Api, StartApi

PER_ARM = ["bandit_arm_weight", "bandit_arm_posterior_mean", "bandit_arm_prob_best", "bandit_arm_expected_loss"]


async def scraped(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = await api.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def test_decisions_are_counted_by_arm_and_stratum(api: Api) -> None:
    live = await api.create("a", "b")
    decisions = await live.select_many(30)
    await live.select(decision_id="mine")
    await live.select(decision_id="mine")
    await live.change("pause")
    await live.select()
    found = await scraped(api)
    count = {
        (arm, stratum): found.get(key("bandit_decisions_total", experiment=live.id, arm=arm, stratum=stratum), 0.0)
        for arm in "ab"
        for stratum in ("bandit", "paused")
    }
    assert count["a", "bandit"] + count["b", "bandit"] == len(decisions) + 1
    assert (count["a", "paused"], count["b", "paused"]) == (1, 0)


async def test_rewards_are_counted_by_what_became_of_them(api: Api) -> None:
    live = await api.create("a", "b", reward_window=3.0, reward_model={"type": "ternary"})
    first, second, third = await live.select_many(3)
    await live.reward(first, 1)
    await live.reward(first, 1)
    await live.reward(second, outcome="neutral")
    await asyncio.sleep(3.1)
    await live.reward(third, 1, 410)
    found = await scraped(api)
    for status in ("applied", "duplicate", "ignored", "late"):
        labelled = [key("bandit_rewards_total", experiment=live.id, arm=arm, status=status) for arm in "ab"]
        assert sum(found.get(each, 0.0) for each in labelled) == 1


async def test_latencies_are_measured_by_endpoint_and_status(api: Api) -> None:
    live = await api.create()
    before = await scraped(api)
    await live.select()
    await api.post("/select", {}, 422)
    after = await scraped(api)
    for status in ("200", "422"):
        name = key("bandit_request_seconds_count", endpoint="/select", status=status)
        assert after[name] - before.get(name, 0.0) == 1


async def test_gauges_say_what_the_reports_say(api: Api) -> None:
    live = await api.create("a", "b")
    await live.report("a", 1)

    async def shown() -> bool:
        found = await scraped(api)
        arms = (await live.read("posterior"))["arms"]
        return all(
            found[key(f"bandit_arm_{gauge}", experiment=live.id, arm=arm["arm"])] == pytest.approx(arm[field])
            for arm in arms
            for gauge, field in (
                ("weight", "weight"),
                ("posterior_mean", "mean"),
                ("prob_best", "prob_best"),
                ("expected_loss", "expected_loss"),
            )
        )

    await api.until(shown)


async def test_gauges_come_only_from_the_process_that_holds_the_lease(start_api: StartApi) -> None:
    async with start_api() as first, start_api() as second:
        live = await first.create()
        there = type(live)(second, live.id)
        await there.select()
        await asyncio.sleep(0.3)
        name = key("bandit_arm_weight", experiment=live.id, arm="a")
        assert name in await scraped(first)
        assert name not in await scraped(second)


async def test_an_archived_experiment_is_shown_no_longer(api: Api) -> None:
    live = await api.create()
    name = key("bandit_arm_weight", experiment=live.id, arm="a")
    assert name in await scraped(api)
    await live.archive()

    async def gone() -> bool:
        return name not in await scraped(api)

    await api.until(gone)


async def test_events_on_their_way_to_postgres_have_an_age_that_falls_back_to_zero(api: Api) -> None:
    live = await api.create()
    await live.select_many(10)

    async def written() -> bool:
        found = await scraped(api)
        return found[key("bandit_ledger_lag_seconds")] == 0.0 and found[key("bandit_events_waiting")] == 0.0

    await api.until(written)
    # For a minute a failover of Postgres may still lose them.
    await api.until(lambda: is_shown(api, key("bandit_events_kept"), at_least=10.0))
    found = await scraped(api)
    assert {found[key("bandit_degraded", part=part)] for part in ("redis", "postgres", "failover")} == {0.0}


async def is_shown(api: Api, name: tuple[str, frozenset[tuple[str, str]]], *, at_least: float) -> bool:
    return (await scraped(api)).get(name, 0.0) >= at_least


async def test_decisions_that_a_process_has_no_room_for_are_counted(
    start_api: StartApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bandit_service.replica.Limits", lambda **_: Limits(memory=0))
    async with start_api() as api:
        live = await api.create()
        assert [decision["recorded"] for decision in await live.select_many(3)] == [False] * 3
        await live.report("a", 1, 429)
        await api.until(lambda: is_shown(api, key("bandit_decisions_dropped_total"), at_least=3.0))
        await live.select()
        await api.until(lambda: is_shown(api, key("bandit_decisions_dropped_total"), at_least=4.0))
        assert (await scraped(api))[key("bandit_decisions_dropped_total")] == 4.0


def record(arms: list[str]) -> AllocationRecord:
    numbers = dict.fromkeys(arms, 1.0 / len(arms))
    return AllocationRecord(
        version=1,
        revision=1,
        published_at=0.0,
        changed_at=0.0,
        weights=numbers,
        prob_best=numbers,
        expected_loss=numbers,
    )


def shown_arms(metrics: Metrics, gauge: str) -> list[str]:
    families = text_string_to_metric_families(metrics.render().decode())
    return [sample.labels["arm"] for family in families if family.name == gauge for sample in family.samples]


@pytest.mark.parametrize("gauge", PER_ARM)
def test_of_many_arms_the_first_twenty_are_shown(gauge: str) -> None:
    metrics, arms = Metrics(), [f"arm-{number}" for number in range(1_000)]
    metrics.beliefs("homepage", record(arms), dict.fromkeys(arms, 0.5))
    assert sorted(shown_arms(metrics, gauge)) == sorted(arms[:ARMS_PER_EXPERIMENT])


@pytest.mark.parametrize("gauge", PER_ARM)
def test_an_arm_that_left_is_shown_no_longer_and_makes_room(gauge: str) -> None:
    metrics, arms = Metrics(), [f"arm-{number}" for number in range(21)]
    metrics.beliefs("homepage", record(arms), dict.fromkeys(arms, 0.5))
    metrics.beliefs("homepage", record(arms[1:]), dict.fromkeys(arms, 0.5))
    assert sorted(shown_arms(metrics, gauge)) == sorted(arms[1:])
    metrics.forget("homepage")
    metrics.forget("homepage")
    assert shown_arms(metrics, gauge) == []


def test_a_thousand_experiments_stay_within_the_bound() -> None:
    metrics = Metrics()
    for number in range(1_000):
        for arm in "ab":
            metrics.decided(f"experiment-{number}", arm, "bandit")
            metrics.rewarded(f"experiment-{number}", arm, "applied")
        metrics.beliefs(f"experiment-{number}", record(["a", "b"]), {"a": 0.5, "b": 0.5})
    rendered = metrics.render()
    assert len(rendered) < 262_144
    families = {family.name: family.samples for family in text_string_to_metric_families(rendered.decode())}
    for counter in ("bandit_decisions", "bandit_rewards"):
        totals = [sample for sample in families[counter] if sample.name.endswith("_total")]
        assert len({sample.labels["experiment"] for sample in totals}) == EXPERIMENTS + 1
        assert sum(sample.value for sample in totals) == 2_000
    assert len(families["bandit_arm_weight"]) == 2 * EXPERIMENTS


def test_of_many_arms_the_rest_is_counted_together() -> None:
    metrics = Metrics()
    for number in range(1_000):
        metrics.decided("homepage", f"arm-{number}", "bandit")
    samples = text_string_to_metric_families(metrics.render().decode())
    [decisions] = [family.samples for family in samples if family.name == "bandit_decisions"]
    counts = {sample.labels["arm"]: sample.value for sample in decisions if sample.name.endswith("_total")}
    assert len(counts) == ARMS_PER_EXPERIMENT + 1
    assert counts[OTHER] == 1_000 - ARMS_PER_EXPERIMENT


def test_two_services_in_one_process_do_not_share_their_numbers() -> None:
    first, second = Metrics(), Metrics()
    first.decided("homepage", "a", "bandit")
    assert "homepage" not in second.render().decode()
