"""Outcomes that depend on several events, and windows that close: each counted once, by the holder of the lease."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from zlib import crc32

import pytest
from msgspec.structs import replace

from bandit_service.ledger.leases import FencedError, Lease
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.ledger.settling import Settling

from .decisions import END_MS, START_MS, WINDOW, Decision, World, expected, new_experiment

DEFERRED = Decision(1, arm=1, deferred=True, activated=True, reward=400_000)
LEARNT = Decision(1, arm=2, reward=700_000, context=[0.5, -1.0])


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=8) as pool:
        yield pool


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("each_settled", [True, False])
async def test_a_deferred_decision_counts_once_it_was_shown_and_rewarded_in_any_order(
    pool: Pool,
    order: tuple[int, ...],
    each_settled: bool,  # noqa: FBT001
) -> None:
    world = await World.of(pool, new_experiment())
    events = DEFERRED.events(world.experiment)
    outcomes = []
    for place in order:
        await world.write([events[place]])
        if each_settled:
            outcomes += [each for turn in await world.settle() for each in turn.outcomes]
    outcomes += [each for turn in await world.settle() for each in turn.outcomes]
    assert [(each.decision_id, each.arm_index, each.reward_micro, each.context) for each in outcomes] == [
        (DEFERRED.id, 1, 400_000, None)
    ]
    assert await world.totals() == {(1, "bandit", "", 1): (1, 1, 400_000, 160_000)}
    assert await world.left() == (0, 0)


@pytest.mark.parametrize("missing", [0, 1, 2])
async def test_while_something_is_missing_a_deferred_decision_has_no_outcome(pool: Pool, missing: int) -> None:
    """Its decision itself is not needed: the reward says all of it."""
    world = await World.of(pool, new_experiment())
    events = DEFERRED.events(world.experiment)
    await world.write([event for place, event in enumerate(events) if place != missing])
    [turn] = await world.settle()
    assert len(turn.outcomes) == (missing == 0)
    assert turn.touched is (missing == 0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_contextual_reward_counts_with_the_context_of_its_decision(pool: Pool, order: tuple[int, int]) -> None:
    world = await World.of(pool, new_experiment(contextual=True))
    events = LEARNT.events(world.experiment)
    for place in order:
        await world.write([events[place]])
        turns = await world.settle()
    [outcome] = turns[-1].outcomes
    assert (outcome.arm_index, outcome.reward_micro, outcome.context) == (2, 700_000, "[0.5,-1.0]")
    assert outcome.event_ms == START_MS + 9_000
    assert await world.totals() == {(2, "bandit", "", 1): (1, 1, 700_000, 490_000)}


async def test_without_a_context_a_contextual_reward_does_not_count(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(contextual=True))
    for number, decision in enumerate([replace_context(LEARNT, None), replace_arrival(LEARNT, arrives=False)]):
        await world.write(Decision(**vars(decision) | {"number": number}).events(world.experiment))
    assert [turn.outcomes for turn in await world.settle()] == [()]


def replace_context(decision: Decision, context: list[float] | None) -> Decision:
    return Decision(**vars(decision) | {"context": context})


def replace_arrival(decision: Decision, *, arrives: bool) -> Decision:
    return Decision(**vars(decision) | {"arrives": arrives})


@pytest.mark.parametrize(("context", "learns"), [([1.0, 2.0], True), (None, False)])
async def test_a_direct_reward_is_learnt_with_its_own_context(
    pool: Pool,
    context: list[float] | None,
    learns: bool,  # noqa: FBT001
) -> None:
    world = await World.of(pool, new_experiment(contextual=True))
    await world.write(Decision(1, stratum="direct", reward=10, context=context).events(world.experiment))
    outcomes = [each.context for turn in await world.settle() for each in turn.outcomes]
    assert outcomes == (["[1.0,2.0]"] if learns else [])
    assert await world.totals() == {(0, "direct", "", 1): (0, 1, 10, 0)}


async def test_a_reward_of_the_holdout_counts_at_once_and_is_not_learnt(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(contextual=True))
    await world.write(Decision(1, stratum="holdout", reward=10, context=[1.0, 2.0]).events(world.experiment))
    assert [turn.outcomes for turn in await world.settle()] == [()]
    assert await world.totals() == {(0, "holdout", "", 1): (1, 1, 10, 0)}


async def test_an_idle_experiment_takes_no_turn(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    [settled], [closed] = await world.settle(), await world.close()
    assert (settled.turn, settled.has_more, closed.turn, closed.has_more) == (0, False, 0, False)
    assert await world.execute("SELECT turn FROM leases") == [(0,)]


async def test_turns_have_no_gaps_and_outcomes_carry_them(pool: Pool) -> None:
    world = await World.of(pool, new_experiment())
    for number in range(1, 4):
        await world.write(Decision(**vars(DEFERRED) | {"number": number}).events(world.experiment))
        [turn] = await world.settle()
        assert (turn.before, turn.turn) == (number - 1, number)
    rows = await world.execute("SELECT decision_id, batch FROM bandit_events WHERE kind = 'outcome' ORDER BY batch")
    assert rows == [("d00001", 1), ("d00002", 2), ("d00003", 3)]


async def test_work_is_bounded_by_rows_and_by_decisions(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(), most_rows=2, most_decisions=5)
    for number in range(5):
        await world.write(Decision(**vars(DEFERRED) | {"number": number}).events(world.experiment))
    await world.write(
        [
            event
            for number in range(5, 12)
            for event in Decision(**vars(DEFERRED) | {"number": number}).events(world.experiment)
        ]
    )
    assert [len(turn.outcomes) for turn in await world.settle()] == [2, 2, 8, 0]


@pytest.mark.parametrize("lease", [Lease("", "me", 2), Lease("", "another", 1), Lease("", "me", 0)])
async def test_who_does_not_hold_the_lease_writes_nothing(pool: Pool, lease: Lease) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1, deferred=True, activated=True).events(world.experiment))
    stranger = Lease(world.experiment.id, lease.holder, lease.token)
    with pytest.raises(FencedError):
        await world.settling.settle(stranger, world.experiment)
    with pytest.raises(FencedError):
        await world.settling.close(stranger, world.experiment, END_MS)
    assert await world.execute("SELECT count(*) FROM bandit_events WHERE kind IN ('outcome', 'reward')") == [(0,)]
    assert await world.left() == (1, 1)


async def test_until_every_living_process_follows_a_failover_nothing_is_settled_or_closed(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1, deferred=True, activated=True).events(world.experiment))
    await world.register("slow", timeline="00000000")
    assert [turn.turn for turn in [*await world.settle(), *await world.close()]] == [0, 0]
    await world.register("slow", timeline="00000000", dead=True)
    assert (await world.settle())[0].turn == 1
    assert (await world.close())[0].turn == 2


async def test_a_deferred_decision_exposes_its_unit_when_it_is_shown(pool: Pool) -> None:
    world = await World.of(pool, new_experiment())
    units = {number: f"{number:032x}" for number in (1, 2, 3)}
    decisions = [
        Decision(number, deferred=True, activated=number != 2, unit=unit, at_ms=START_MS + number)
        for number, unit in units.items()
    ]
    decisions.append(Decision(4, deferred=True, activated=True, unit=units[1], at_ms=START_MS + 4))
    await world.execute("INSERT INTO erased_units (unit_hash) VALUES (decode(%s, 'hex'))", units[3])
    for decision in decisions:
        for event in reversed(decision.events(world.experiment)):
            await world.write([event])
    await world.settle()
    await world.settle()
    found = await world.execute("SELECT encode(unit_hash, 'hex'), decision_id FROM exposures")
    assert found == [(units[1], "d00001")]


# Windows that close


async def test_a_window_closes_with_what_is_missing_under_its_own_key(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    decisions = {
        "rewarded": Decision(1, reward=300_000),
        "unrewarded": Decision(2, segment="de"),
        "ignored": Decision(3, reward="ignored"),
        "never shown": Decision(4, deferred=True, reward=500_000),
        "shown": Decision(5, deferred=True, activated=True),
        "restored": Decision(6, arrives=False, reward=200_000, weights_version=7),
        "of the holdout": Decision(7, stratum="holdout"),
        "paused": Decision(8, stratum="paused", reward=900_000),
    }
    for decision in decisions.values():
        await world.write(decision.events(world.experiment))
    await world.settle()
    await world.close()
    found = {name: await world.kinds(decision) for name, decision in decisions.items()}
    as_decided, uncounted = (None, True, False), (None, False, False)
    assert found == {
        "rewarded": {
            "decision": as_decided,
            "reward": (300_000, False, False),
            "outcome": (300_000, True, False),
        },
        "unrewarded": {"decision": as_decided, "reward": (0, False, True), "outcome": (0, True, False)},
        "ignored": {"decision": as_decided, "reward": uncounted},
        "never shown": {
            "decision": uncounted,
            "activation": (None, False, True),
            "reward": (500_000, False, False),
        },
        "shown": {
            "decision": uncounted,
            "activation": as_decided,
            "reward": (0, False, True),
            "outcome": (0, True, False),
        },
        "restored": {
            "decision": (None, True, True),
            "reward": (200_000, False, False),
            "outcome": (200_000, True, False),
        },
        "of the holdout": {"decision": as_decided, "reward": (0, False, True), "outcome": (0, True, False)},
        "paused": {"decision": as_decided, "reward": (900_000, False, False)},
    }
    assert await world.totals() == await world.totals("folded_events")
    assert await world.totals() == expected(world.experiment, decisions.values()).rows()
    times = await world.execute(
        "SELECT DISTINCT (extract(epoch FROM event_time) * 1000)::bigint FROM bandit_events "
        "WHERE filled AND kind <> 'decision'"
    )
    assert times == [(START_MS + WINDOW * 1_000,)]
    assert await world.left() == (0, 0)


async def test_a_restored_decision_says_what_its_reward_carries(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    [reward] = Decision(6, arm=2, arrives=False, reward=1, weights_version=7, segment="de").events(world.experiment)
    await world.write([replace(reward, vector="segment", revision=3, propensity=0.25)])
    await world.close()
    [row] = await world.execute(
        "SELECT event_time = decision_time, arm_index, stratum, propensity, weights_version, revision, reward_micro, "
        "unit_hash, vector, segment, context FROM bandit_events WHERE kind = 'decision'"
    )
    assert row == (True, 2, "bandit", 0.25, 7, 3, None, None, "segment", "de", None)


async def test_positions_of_a_slate_close_each_by_themselves(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    [first, reward] = Decision(1, reward=600_000).events(world.experiment)
    await world.write([first, replace(first, position=1, arm_index=1), replace(reward, position=1, arm_index=1)])
    await world.close()
    assert await world.totals() == {(0, "bandit", "", 1): (1, 1, 0, 0), (1, "bandit", "", 1): (1, 1, 600_000, 360_000)}


@pytest.mark.parametrize("after_ms", [100_999, 101_000])
async def test_a_window_does_not_close_before_its_end(pool: Pool, after_ms: int) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1, at_ms=START_MS + 999).events(world.experiment))
    assert [turn.turn for turn in await world.close(START_MS + after_ms)] == [0]
    assert [turn.turn for turn in await world.close(START_MS + 101_001)] == [1, 0]


@pytest.mark.parametrize("dead", [False, True])
async def test_a_window_waits_for_every_process_that_may_have_a_reward_in_time(
    pool: Pool,
    dead: bool,  # noqa: FBT001
) -> None:
    """Also for one that died, until its stream is written and its row has gone."""
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1).events(world.experiment))
    await world.register("behind", START_MS + 101_000, dead=dead)
    assert [turn.turn for turn in await world.close()] == [0]
    await world.execute("DELETE FROM producers WHERE name = 'behind'")
    assert [turn.turn for turn in await world.close()] == [1, 0]


async def test_without_any_process_nothing_closes(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1).events(world.experiment))
    await world.execute("DELETE FROM producers")
    assert [turn.turn for turn in await world.close()] == [0]


async def test_a_bucket_is_closed_page_by_page_and_again_if_something_came_meanwhile(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"), most_decisions=2)
    decisions = [Decision(number, at_ms=START_MS + number % 3) for number in range(1, 8)]
    for decision in decisions:
        await world.write(decision.events(world.experiment))
    first = await world.settling.close(world.lease, world.experiment, END_MS)
    assert (len(first.outcomes), first.has_more) == (2, True)
    late = Decision(0, arm=1, reward=100_000)
    await world.write(late.events(world.experiment))
    turns = await world.close()
    assert sum(len(turn.outcomes) for turn in turns) == 6
    assert await world.totals() == expected(world.experiment, [*decisions, late]).rows()
    assert await world.left() == (0, 0)


async def test_a_reward_that_is_just_being_written_wins_over_the_zero_of_the_closing(pool: Pool) -> None:
    """No process should be so late. If one is, the outcome is still that of the row that is there."""
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1).events(world.experiment))
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, batch, ord, "
            "arm_index, stratum, counted, weights_version, reward_micro) SELECT experiment_id, decision_id, 'reward', "
            "decision_time, event_time, 1, 1, arm_index, stratum, false, weights_version, 800000 FROM bandit_events"
        )
        closing = asyncio.create_task(world.close())
        await asyncio.sleep(0.3)
        assert not closing.done()
    await closing
    assert (await world.kinds(Decision(1)))["outcome"] == (800_000, True, False)
    assert await world.totals() == {(0, "bandit", "", 1): (1, 1, 800_000, 640_000)}


async def test_another_holder_begins_a_bucket_anew(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"), most_decisions=2)
    decisions = [Decision(number) for number in range(1, 6)]
    for decision in decisions:
        await world.write(decision.events(world.experiment))
    await world.settling.close(world.lease, world.experiment, END_MS)
    world.lease = Lease(world.experiment.id, "another", 2)
    await world.lend(world.lease)
    with pytest.raises(FencedError):
        await world.settling.close(Lease(world.experiment.id, "me", 1), world.experiment, END_MS)
    world.settling = Settling(pool, slot=4)
    await world.close()
    assert await world.totals() == expected(world.experiment, decisions).rows()


async def test_the_turn_after_an_unknown_commit_has_a_gap_before_it(pool: Pool) -> None:
    world = await World.of(pool, new_experiment())
    await world.write(DEFERRED.events(world.experiment))
    await world.settle()
    # Somebody with the same lease has settled something, and its answer was lost.
    other = Settling(pool, slot=3)
    await world.write(Decision(**vars(DEFERRED) | {"number": 2}).events(world.experiment))
    await other.settle(world.lease, world.experiment)
    await world.write(Decision(**vars(DEFERRED) | {"number": 3}).events(world.experiment))
    [turn] = await world.settle()
    assert (turn.before, turn.turn) == (2, 3)


@pytest.mark.parametrize("missing_reward", ["ignore", "zero"])
async def test_settlers_beside_writers_and_rivals_count_everything_once(pool: Pool, missing_reward: str) -> None:
    """Every event comes from two writers at once, in batches of their own; the lease changes hands all the time."""
    world = await World.of(pool, new_experiment(missing_reward=missing_reward), most_rows=5, most_decisions=7)
    decisions = [
        Decision(
            number,
            arm=number % 3,
            at_ms=START_MS + number * 17 % 3_000,
            reward=number * 1_000,
            unit=f"{number % 40:032x}",
            deferred=number % 2 == 1,
            activated=number % 2 == 1,
        )
        for number in range(200)
    ]
    events = [event for decision in decisions for event in decision.events(world.experiment)]
    writing = 2

    async def write(slot: int) -> None:
        nonlocal writing
        order = sorted(events, key=lambda event: crc32(f"{event.key}{slot}".encode()))
        for first in range(0, len(order), 9):
            await world.write(order[first : first + 9], slot=slot)
        writing -= 1

    async def settle(slot: int) -> None:
        settling = Settling(pool, slot=slot, most_rows=5, most_decisions=7)
        token = slot
        while writing:
            token += 2
            lease = Lease(world.experiment.id, f"holder-{slot}", token)
            await world.lend(lease)
            for _ in range(3):
                try:
                    await settling.settle(lease, world.experiment)
                except FencedError:
                    break

    await asyncio.gather(write(1), write(2), settle(1), settle(2))
    await world.lend(world.lease)
    await world.settle()
    if missing_reward == "zero":
        await world.close()
    assert await world.totals() == expected(world.experiment, decisions).rows()
    assert await world.totals() == await world.totals("folded_events")
    assert await world.left() == (0, 0)
    assert await world.execute("SELECT count(*) FROM exposures") == [(40,)]
