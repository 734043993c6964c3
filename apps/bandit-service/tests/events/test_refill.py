"""A refilled store is the one that was lost: everything that decides what happens next is there again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bandit_service.domain.allocation import AllocationRecord, decode_allocation
from bandit_service.domain.experiment import MICRO
from bandit_service.events.operations import Decide, Operation, close_of, pending_member
from bandit_service.events.refill import Refiller
from bandit_service.ledger.events import EventLog
from bandit_service.redis_store.keys import ExperimentKeys

from .rig import HOUR_MS, ID, Process, Rig, activate, decide, now_ms, reward

ALLOCATION = AllocationRecord(
    version=7,
    epoch=1,
    revision=1,
    belief_version=3,
    seq=4,
    published_at=time.time(),
    changed_at=time.time(),
    weights={"a": 0.25, "b": 0.75},
    prob_best={"a": 0.25, "b": 0.75},
    expected_loss={"a": 0.1, "b": 0.0},
)


@pytest.fixture
def definition() -> dict[str, Any]:
    """Everything that leaves traces in the store, at once."""
    return {
        "missing_reward": "zero",
        "assignment": "sticky",
        "holdout": 0.1,
        "control_arm": "b",
        "reward_window": 10.0,
    }


def refiller(rig: Rig, name: str = "refiller", events: EventLog | None = None, turn: float = 5.0) -> Refiller:
    return Refiller(rig.store, events or rig.events, token=name, clock=time.time, turn_seconds=turn)


async def rebuilt(rig: Rig, process: Process) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write everything to Postgres, empty Redis and refill it; return what Redis had and what it has now."""
    await process.drain()
    before = await rig.contents()
    await rig.redis.flushall()
    await refiller(rig).refill(rig.experiment, None)
    return before, await rig.contents()


def window(name: str, *, arm: int = 0, age_ms: int = 0, **more: Any) -> Decide:
    """A decision of that age whose window of ten seconds is open, or due to be closed."""
    at = now_ms() - age_ms
    return decide(signed(name), arm=arm, at=at, closes_ms=at + 10_000, **more)


def signed(name: str) -> str:
    """An id that looks like one of the service's."""
    return f"d1.{name}"


async def test_everything_at_once(rig: Rig) -> None:
    process = await rig.process()
    old, shown = window("closed", age_ms=20_000), now_ms()
    await process.commit(
        old,
        reward(signed("closed"), 300_000, mode="z", at=old.record.decision_ms),
        window("rewarded", arm=1),
        reward(signed("rewarded"), 700_000, arm=1, mode="z"),
        window("silent"),
        window("unit", unit_hash="ab" * 16, remembers_unit=True, arm=1),
        decide(signed("deferred"), deferred=True, counter=""),
        decide(signed("shown"), at=shown, deferred=True, counter=""),
        activate(signed("shown"), at=shown, closes_ms=shown + 10_000),
        decide("mine", own_record=b'[0,0.5,1,"holdout",false,1]', stratum="holdout", counter="hd:"),
        decide(signed("held"), stratum="holdout", counter="hd:", arm=1),
        reward(signed("held"), 10, stratum="holdout", mode="h", arm=1),
        reward(signed("ignored"), None),
        reward(signed("late"), 5, deadline_ms=now_ms() - 1),
        reward("direct/x", 999_999, stratum="direct", deadline_ms=None),
        decide(signed("paused"), stratum="paused", counter=""),
        reward(signed("paused"), 1, stratum="paused", mode="n"),
    )
    await process.commit(close_of(pending_member(old.record), now_ms()))
    before, after = await rebuilt(rig, process)
    # The caller's own record is made anew from the event; compared as what it says, not as it was written.
    own = ExperimentKeys(ID).own_decision("mine")
    assert before.pop(own) is not None
    assert after.pop(own) is not None
    assert after == before


_OPERATIONS = st.lists(
    st.tuples(st.sampled_from("DRZHXAO"), st.integers(0, 6), st.integers(0, 1), st.integers(0, MICRO)), max_size=40
)


def operation(kind: str, number: int, arm: int, micro: int, position: int, at: int) -> Operation:
    """One of the things that can happen. The same number again is a repetition, except of decisions: each is new."""
    name = signed(f"{kind}{number}")
    match kind:
        case "D":
            return decide(signed(f"D{position}"), at=at, closes_ms=at + 10_000)
        case "R":
            return reward(name, micro or None, arm=arm)
        case "Z":
            return reward(signed(f"D{number}"), micro, at=at, mode="z")
        case "H":
            return decide(signed(f"H{position}"), arm=arm, stratum="holdout", counter="hd:")
        case "X":
            return reward(name, micro, arm=arm, deadline_ms=now_ms() - HOUR_MS)
        case "A":
            return activate(name, arm=arm, at=at, closes_ms=at + 10_000)
        case _:
            return window(f"U{position}", arm=arm, unit_hash=f"{number:032x}", remembers_unit=True)


@given(first=_OPERATIONS, later=_OPERATIONS, snapshot=st.booleans())
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_happened(
    rig: Rig,
    first: list[tuple[str, int, int, int]],
    later: list[tuple[str, int, int, int]],
    snapshot: bool,  # noqa: FBT001 (drawn by hypothesis)
) -> None:
    await rig.redis.flushall()
    async with rig.pool.connection() as connection:
        await connection.execute("TRUNCATE bandit_events, posterior_snapshots")
    process, at = await rig.process(f"process-{time.monotonic_ns()}"), now_ms()
    for number, each in enumerate(first + later):
        await process.commit(operation(*each, number, at))
        if snapshot and number == len(first):
            await process.drain()
            await process.snapshots.keep(rig.experiment, (await process.streams.heads([ID]))[ID])
    before, after = await rebuilt(rig, process)
    assert after == before


async def test_callers_own_decisions_are_known_again(rig: Rig) -> None:
    process = await rig.process()
    at = now_ms()
    await process.commit(decide("mine", arm=1, at=at, own_record=b"any"))
    await rebuilt(rig, process)
    stamped = await rig.redis.get(ExperimentKeys(ID).own_decision("mine"))
    assert stamped == f'2|[1,0.5,{at},"bandit",false,1,"published",null]'.encode()


async def test_the_reward_of_an_open_window_is_kept_however_old_it_is(rig: Rig) -> None:
    """Nobody may have closed windows for a day; what was rewarded in time still counts."""
    process = await rig.process()
    old = window("old", age_ms=24 * HOUR_MS)
    await process.commit(old, reward(signed("old"), 400_000, mode="z", at=old.record.decision_ms))
    await rebuilt(rig, process)
    assert await rig.redis.pttl(ExperimentKeys(ID).rewarded(signed("old"))) == -1
    await process.settle()
    await process.commit(close_of(pending_member(old.record), now_ms()))
    assert await rig.posterior() == (400_000, 600_000)


async def test_weights_come_back_under_a_version_that_was_never_published(rig: Rig) -> None:
    await rig.process()
    await refiller(rig).refill(rig.experiment, ALLOCATION)
    head = await rig.store.head(ID)
    stored = (await rig.store.served(ID)).allocation
    restored = decode_allocation(stored or "")
    assert restored.weights == ALLOCATION.weights
    assert restored.version == head.weights_version > ALLOCATION.version + 100


async def test_weights_that_no_process_remembers_come_from_postgres(rig: Rig) -> None:
    await rig.process()
    await rig.events.save_allocation(ID, ALLOCATION, {}, "")
    await refiller(rig).refill(rig.experiment, None)
    stored = (await rig.store.served(ID)).allocation
    assert decode_allocation(stored or "").weights == ALLOCATION.weights


async def test_nothing_is_committed_while_a_refill_is_under_way(rig: Rig) -> None:
    process = await rig.process()
    position = await rig.events.raise_epoch(ID)
    assert position is not None
    await rig.store.refill_begin(ID, position.epoch)
    process.lane.queue.append(reward("a"))
    await process.connection.open()
    await process.committer._turn()
    assert process.lane.settling
    assert await rig.posterior() == (0, 0)


class Hesitant(EventLog):
    """Postgres, for a refiller that is stopped once it has raised the epoch and read the fold."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.pool)
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def last_allocation(self, experiment_id: str) -> AllocationRecord | None:
        self.reached.set()
        await self.go_on.wait()
        return await super().last_allocation(experiment_id)


async def test_a_slower_refiller_is_fenced_off_by_a_later_one(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(reward("a"))
    await process.drain()
    await rig.redis.flushall()
    events = Hesitant(rig)
    slow = asyncio.create_task(refiller(rig, "slow", events).refill(rig.experiment, None))
    await events.reached.wait()
    await rig.redis.delete(ExperimentKeys(ID).refill)
    assert await refiller(rig, "fast").refill(rig.experiment, None) == 3
    await process.settle()
    await process.commit(reward("b", marked=False))
    events.go_on.set()
    assert await slow is None
    assert (await rig.store.head(ID)).epoch == 3
    assert await rig.posterior() == (2 * MICRO, 0)


async def test_refillers_take_turns(rig: Rig) -> None:
    await rig.process()
    events = Hesitant(rig)
    first = asyncio.create_task(refiller(rig, "first", events, turn=0.3).refill(rig.experiment, None))
    await events.reached.wait()
    # The turn is held for longer than it would last by itself.
    await asyncio.sleep(0.6)
    assert await refiller(rig, "second").refill(rig.experiment, None) is None
    events.go_on.set()
    assert await first == 2
    assert await refiller(rig, "second").refill(rig.experiment, None) == 3


async def test_the_turn_of_a_refiller_that_died_passes_on(rig: Rig) -> None:
    await rig.process()
    events = Hesitant(rig)
    dying = asyncio.create_task(refiller(rig, "dying", events, turn=0.3).refill(rig.experiment, None))
    await events.reached.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await refiller(rig, "next").refill(rig.experiment, None) == 3
