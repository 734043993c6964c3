"""From events in the ledger to weights in every process: totals, mirror, publication, takeover, on real stores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import (
    Experiment,
    FeaturesDefinition,
    GuardrailsDefinition,
    PolicyDefinition,
    StoppingDefinition,
)
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import Pool
from bandit_service.mirror.connection import make_redis

from .process import LIFE, Process, rewards, until, write

if TYPE_CHECKING:
    from conftest import NewExperiment

NOWHERE = "redis://127.0.0.1:1"


class Clock:
    """The real time, which a test may move ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def hand() -> Clock:
    return Clock()


@pytest.fixture
async def holder(pool: Pool, redis_url: str, hand: Clock) -> AsyncIterator[Process]:
    """A process whose loops the test turns; it begins with `start`."""
    process = Process("holder", pool, redis_url, hand)
    yield process
    await process.close()


def weights(process: Process, experiment_id: str = "x") -> dict[str, float]:
    served = process.cache.get(experiment_id)
    return {} if served is None or served.allocation is None else dict(served.allocation.weights)


def version(process: Process, experiment_id: str = "x") -> int:
    served = process.cache.get(experiment_id)
    return 0 if served is None else served.weights_version


def in_force(process: Process, experiment_id: str = "x") -> AllocationRecord | None:
    served = process.cache.get(experiment_id)
    return None if served is None else served.allocation


async def versions(pool: Pool) -> list[int]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT weights_version FROM allocations ORDER BY 1")
        return [each for (each,) in await cursor.fetchall()]


async def settle_down(process: Process, hand: Clock, ticks: int = 4) -> None:
    """Turn the loop as if time passed."""
    for _ in range(ticks):
        hand.ahead += 1.0
        await process.allocator.tick()


async def test_events_reach_redis_and_every_process(pool: Pool, redis_url: str, new_experiment: NewExperiment) -> None:
    experiment = await new_experiment("x")
    one, two = Process("one", pool, redis_url), Process("two", pool, redis_url)
    async with one.running(), two.running():
        await two.cache.load_all()

        async def has_weights() -> bool:
            return weights(two) != {}

        await until(has_weights)
        await write(pool, rewards("x", 0, 1_000_000, 60) + rewards("x", 1, 0, 60))
        await two.announcer.announce_touched(["x"])

        async def mirrored() -> bool:
            return await one.mirror.sums(experiment) == {0: (61_000_000, 1_000_000), 1: (3_000_000, 65_000_000)}

        assert await until(mirrored) < 1.0

        async def moved() -> bool:
            return weights(one) == weights(two) and weights(two).get("a", 0.0) > 0.9

        assert await until(moved) < 2.0
        assert version(one) == version(two)
        totals = await one.mirror.beliefs("x")
        assert totals is not None
        assert totals.rewards == {0: 60, 1: 60}


async def test_a_lost_message_is_made_good_by_a_look(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    await new_experiment("x")
    await holder.start()
    await settle_down(holder, hand)
    await holder.allocator.check_all()
    await settle_down(holder, hand)
    await write(pool, rewards("x", 0, 1_000_000, 60))
    await settle_down(holder, hand)
    assert weights(holder)["a"] < 0.7
    await holder.allocator.check_all()
    await settle_down(holder, hand)
    assert weights(holder)["a"] > 0.9


async def test_without_news_nothing_is_computed_or_published(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    await new_experiment("x")
    await holder.start()
    await settle_down(holder, hand)
    before = await versions(pool)
    now = round(time.time() * 1_000)
    decisions = [
        msgspec.structs.replace(each, kind="decision", reward_micro=None, stratum="bandit", event_ms=now)
        for each in rewards("x", 0, 0, 50)
    ]
    await write(pool, decisions)
    for _ in range(3):
        holder.allocator.touched(["x"])
        await settle_down(holder, hand)
        await holder.allocator.check_all()
    assert await versions(pool) == before == [1]


async def test_a_version_needs_a_material_change_and_comes_less_often_with_age(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    await new_experiment("x", created_at=time.time() - 100_000)
    await holder.start()
    await settle_down(holder, hand)
    assert await versions(pool) == [1]
    await write(pool, rewards("x", 0, 1_000_000, 60))
    holder.allocator.touched(["x"])
    await settle_down(holder, hand, 10)
    assert await versions(pool) == [1]
    hand.ahead += 100
    await settle_down(holder, hand)
    assert await versions(pool) == [1, 2]
    hand.ahead += 200
    await write(pool, rewards("x", 0, 1_000_000, 1))
    holder.allocator.touched(["x"])
    await settle_down(holder, hand)
    assert await versions(pool) == [1, 2]


async def test_small_steps_are_taken_all_the_same(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    guardrails = GuardrailsDefinition(max_step=0.004, min_trials=0)
    await new_experiment("x", guardrails=guardrails, update_every=0.5)
    await holder.start()
    await settle_down(holder, hand)
    before = weights(holder)["a"]
    for _ in range(5):
        await write(pool, rewards("x", 0, 1_000_000, 20))
        holder.allocator.touched(["x"])
        await settle_down(holder, hand, 1)
    assert weights(holder)["a"] - before == pytest.approx(5 * 0.004)


async def test_a_new_definition_shows_at_once(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    before = await new_experiment("x", created_at=time.time() - 1e6)
    await holder.start()
    await settle_down(holder, hand)

    def fixed(experiment: Experiment) -> Experiment:
        return msgspec.structs.replace(experiment, policy=PolicyDefinition("fixed", {"weights": {"a": 1.0, "b": 3.0}}))

    changed = await ExperimentsRepository(pool).change("x", fixed, lambda *_: {}, Reason("test", "test", 0.0))
    assert changed is not None
    await holder.publication.publish(changed[0])
    assert weights(holder) == pytest.approx({"a": 0.25, "b": 0.75})
    [mirrored] = await holder.mirror.served(["x"])
    assert mirrored.experiment == changed[0] != before
    assert mirrored.allocation is not None
    assert mirrored.allocation.revision == 2


async def test_what_postgres_had_newer_goes_to_the_mirror(
    holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    """The mirror may have what this process read from a former primary."""
    await new_experiment("x")
    await holder.start()
    await settle_down(holder, hand)
    await holder.redis.delete(*[key async for key in holder.redis.scan_iter("*{x}*")])
    await holder.allocator.tick()
    assert [each.allocation for each in await holder.mirror.served(["x"])] == [None]
    holder.allocator.outdated(["x"])
    await holder.allocator.tick()
    [mirrored] = await holder.mirror.served(["x"])
    assert mirrored.allocation is not None
    assert mirrored.allocation.version == version(holder)


async def test_a_new_experiment_is_served_and_mirrored_before_it_is_answered(
    holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    await holder.start()
    await settle_down(holder, hand)
    experiment = await new_experiment("x")
    await holder.publication.publish(experiment)
    assert version(holder) == 1
    [mirrored] = await holder.mirror.served(["x"])
    assert (mirrored.experiment, mirrored.allocation) == (experiment, in_force(holder))
    assert await holder.mirror.sums(experiment) == {0: (1_000_000, 1_000_000), 1: (3_000_000, 5_000_000)}


async def test_a_mirror_that_lost_everything_gets_everything(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    made = [await new_experiment(f"x{number}") for number in range(3)]
    await holder.start()
    await write(pool, rewards("x1", 0, 500_000, 3))
    await settle_down(holder, hand)

    async def everything() -> list[Any]:
        return [
            (
                await holder.mirror.served([each.id]),
                await holder.mirror.sums(each),
                await holder.mirror.explained(each.id),
            )
            for each in made
        ]

    before = await everything()
    assert all(mirrored.allocation is not None and explained is not None for [mirrored], _, explained in before)
    assert before[1][1][0] == (2_500_000, 2_500_000)
    await holder.redis.flushall()
    await settle_down(holder, hand)
    assert await everything() == before


async def test_a_mirror_that_has_gone_back_to_an_earlier_state_gets_everything_again(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    made = await new_experiment("x")
    await holder.start()
    await settle_down(holder, hand)
    earlier = {key: await holder.redis.dump(key) for key in await holder.redis.keys()}
    await write(pool, rewards("x", 0, 500_000, 60))
    await settle_down(holder, hand)
    before = await holder.mirror.sums(made), await holder.mirror.explained("x")
    await holder.redis.flushall()
    for key, value in earlier.items():
        await holder.redis.restore(key, 0, cast("Any", value))
    await settle_down(holder, hand)
    assert (await holder.mirror.sums(made), await holder.mirror.explained("x")) == before


async def test_without_redis_weights_are_published_and_found_by_the_sweep(
    pool: Pool, hand: Clock, new_experiment: NewExperiment
) -> None:
    await new_experiment("x")
    one, two = Process("one", pool, NOWHERE, hand), Process("two", pool, NOWHERE, hand)
    await one.start()
    await two.cache.load_all()
    await write(pool, rewards("x", 0, 1_000_000, 60))
    await settle_down(one, hand)
    assert weights(one)["a"] > 0.9
    assert await two.cache.sweep() == ["x"]
    assert weights(two) == weights(one)
    for process in (one, two):
        await process.close()


async def test_when_redis_is_back_it_gets_what_it_missed(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    experiment = await new_experiment("x")
    await holder.start()
    await settle_down(holder, hand)
    away = make_redis(NOWHERE, timeout=0.5)
    there, holder.redis.connection_pool = holder.redis.connection_pool, away.connection_pool
    await write(pool, rewards("x", 0, 1_000_000, 60))
    holder.allocator.touched(["x"])
    await settle_down(holder, hand)
    holder.redis.connection_pool = there
    [mirrored] = await holder.mirror.served(["x"])
    assert mirrored.allocation is not None
    assert mirrored.allocation.version < version(holder)
    await settle_down(holder, hand)
    [mirrored] = await holder.mirror.served(["x"])
    assert mirrored.allocation == in_force(holder)
    assert (await holder.mirror.sums(experiment))[0] == (61_000_000, 1_000_000)


async def test_a_process_takes_over_and_the_former_one_publishes_nothing(
    pool: Pool, redis_url: str, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    await new_experiment("x")
    await holder.start()
    await settle_down(holder, hand)
    await asyncio.sleep(1.1 * LIFE)
    heir = Process("heir", pool, redis_url, hand)
    await heir.start()
    assert heir.leases.held.keys() == {"x"}
    await write(pool, rewards("x", 0, 1_000_000, 60))
    for process in (heir, holder):
        process.allocator.touched(["x"])
        await settle_down(process, hand)
    assert weights(heir)["a"] > 0.9
    assert weights(holder)["a"] < 0.7
    assert holder.leases.held == {}
    [mirrored] = await heir.mirror.served(["x"])
    assert mirrored.allocation == in_force(heir)
    await heir.close()


async def test_after_an_unknown_commit_limits_hold_from_what_was_committed(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    guardrails = GuardrailsDefinition(max_step=0.1, min_trials=0)
    await new_experiment("x", guardrails=guardrails, update_every=0.5)
    await holder.start()
    await settle_down(holder, hand)
    publish = holder.weights.publish

    async def lost(*given: Any) -> Any:
        await publish(*given)
        raise PostgresUnavailableError("the answer was lost")

    await write(pool, rewards("x", 0, 1_000_000, 60))
    holder.allocator.touched(["x"])
    monkeypatch.setattr(holder.weights, "publish", lost)
    with pytest.raises(PostgresUnavailableError):
        await settle_down(holder, hand, 1)
    monkeypatch.undo()
    await settle_down(holder, hand, 1)
    explained = (await holder.weights.explained(["x"]))["x"]
    assert explained.record.version == version(holder) == 3
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT weights ->> 'a' FROM allocations ORDER BY weights_version")
        steps = [float(weight) for (weight,) in await cursor.fetchall()]
    assert [after - before for before, after in pairwise(steps)] == pytest.approx([0.1, 0.1])


async def test_a_contextual_experiment_publishes_only_after_an_outcome(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    policy, context = PolicyDefinition("linear_thompson"), FeaturesDefinition(dimension=1)
    await new_experiment("x", policy=policy, context=context)
    await holder.start()
    await settle_down(holder, hand, 10)
    assert await versions(pool) == [1]
    seen = rewards("x", 1, 0, 5, kind="decision", stratum="bandit", settles=True, context="[0.25]")
    await write(pool, [replace(each, reward_micro=None) for each in seen])
    holder.allocator.touched(["x"])
    await settle_down(holder, hand, 10)
    counted = await holder.mirror.beliefs("x")
    assert counted is not None
    assert counted.decisions == {1: 5}
    assert await versions(pool) == [1]
    rows = rewards("x", 0, 1_000_000, 5, counted=False, settles=True, context="[0.5]")
    await write(pool, rows)
    holder.allocator.touched(["x"])
    await settle_down(holder, hand, 10)
    assert await versions(pool) == [1, 2]
    served = holder.cache.get("x")
    assert served is not None
    assert served.linear is not None
    assert served.linear.version == 2
    assert served.linear.beliefs.theta[0].any()
    assert await holder.mirror.linear("x") == served.linear


async def test_a_late_row_of_the_totals_is_found_by_merging(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    """The rows of this test are in slots of long ago, which reading passes over once they were merged."""
    await new_experiment("x")
    await holder.start()
    await settle_down(holder, hand)
    await holder.allocator.merge()
    await write(pool, rewards("x", 0, 1_000_000, 60))
    holder.allocator.touched(["x"])
    await settle_down(holder, hand)
    assert weights(holder)["a"] < 0.9
    await holder.allocator.merge()
    await settle_down(holder, hand)
    assert weights(holder)["a"] > 0.9


async def test_one_experiment_that_cannot_be_computed_holds_nobody_else_up(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    await new_experiment("broken", policy=PolicyDefinition("of a newer version"))
    await new_experiment("sound")
    await holder.start()
    await write(pool, rewards("broken", 0, 1_000_000, 60) + rewards("sound", 0, 1_000_000, 60))
    holder.allocator.touched(["broken", "sound"])
    await settle_down(holder, hand)
    assert weights(holder, "sound")["a"] > 0.9
    assert weights(holder, "broken") == {}


async def test_a_rule_that_is_met_concludes_once_there_is_news(
    pool: Pool, holder: Process, hand: Clock, new_experiment: NewExperiment
) -> None:
    rule = StoppingDefinition(min_decisions_per_arm=0, prob_best=0.95)
    await new_experiment("x", stopping=rule)
    await new_experiment("advises", stopping=msgspec.structs.replace(rule, auto_conclude=False))
    await new_experiment("long", stopping=msgspec.structs.replace(rule, max_duration=1_000.0))
    await holder.start()
    await settle_down(holder, hand)
    await holder.allocator.judge()
    assert holder.concluded == []
    await write(pool, rewards("x", 0, 1_000_000, 60) + rewards("advises", 0, 1_000_000, 60))
    holder.allocator.touched(["x", "advises"])
    await settle_down(holder, hand)
    for _ in range(2):
        await holder.allocator.judge()
    assert holder.concluded == ["x"]
    hand.ahead += 1_000.0
    await holder.allocator.judge()
    assert holder.concluded == ["x", "long"]
