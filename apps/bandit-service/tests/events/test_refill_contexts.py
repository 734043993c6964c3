"""A refilled store knows again what decisions were made in: contexts, segments, slates and gaussian sums."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from bandit_service.domain.event import Circumstances
from bandit_service.domain.experiment import FeaturesDefinition, PolicyDefinition, RewardsDefinition, SegmentField
from bandit_service.events.operations import NO_CONTEXT, Operation, close_of, pending_member
from bandit_service.ledger.events import LearntEvent, SegmentCount
from bandit_service.redis_store.keys import ExperimentKeys

from .rig import HOUR_MS, ID, Process, Rig, decide, now_ms, reward
from .test_refill import rebuilt, signed

LINEAR: dict[str, Any] = {
    "policy": PolicyDefinition("linear_thompson"),
    "context": FeaturesDefinition(dimension=2),
}
SEGMENTED: dict[str, Any] = {"segment_by": (SegmentField("period", ("day", "night"), "day"),)}
GAUSSIAN: dict[str, Any] = {"rewards": RewardsDefinition("gaussian")}


@pytest.fixture
def definition(request: pytest.FixtureRequest) -> dict[str, Any]:
    given: dict[str, Any] = request.param
    return given


def in_context(name: str, text: bytes, **more: Any) -> Operation:
    return decide(signed(name), kept_context=text, circumstances=Circumstances("context"), **more)


async def learnt(rig: Rig) -> list[LearntEvent]:
    position = await rig.events.position(ID)
    assert position is not None
    return [event async for page in rig.events.believed_contexts(ID, 0, 0, position.committed_seq) for event in page]


@pytest.mark.parametrize("definition", [LINEAR], indirect=True)
async def test_a_reward_finds_the_context_of_its_decision_after_a_refill(rig: Rig) -> None:
    process = await rig.process()
    operation = in_context("one", b"[0.1, 0.2]")
    operation.record = _with_context(operation, [0.1, 0.2])
    await process.commit(operation)
    before, after = await rebuilt(rig, process)
    assert before == after
    await process.settle()
    await _recovered(process)
    [seq] = await process.commit(reward(signed("one"), 500_000, needs_context=True))
    assert seq > 0
    await process.drain()
    [event] = await learnt(rig)
    assert (event.reward_micro, event.context) == (500_000, "[0.1, 0.2]")


@pytest.mark.parametrize("definition", [LINEAR], indirect=True)
async def test_a_reward_whose_context_nobody_knows_is_not_taken(rig: Rig) -> None:
    process = await rig.process()
    assert await process.commit(reward(signed("one"), needs_context=True)) == [NO_CONTEXT]
    assert await rig.posterior() == (0, 0)


@pytest.mark.parametrize("definition", [LINEAR], indirect=True)
async def test_an_acknowledged_reward_waits_for_the_process_that_has_its_context(rig: Rig) -> None:
    """Redis is emptied while neither the decision nor its reward are in Postgres, and the reward comes first."""
    decider, rewarder = await rig.process("decider"), await rig.process("rewarder")
    await decider.commit(in_context("one", b"[1.0,0.0]"))
    await rewarder.commit(reward(signed("one"), 250_000, needs_context=True))
    await rig.redis.flushall()
    await rewarder.settle()
    await rewarder.flush()
    assert await rig.posterior() == (0, 0)
    await decider.settle()
    await decider.flush()
    await _recovered(rewarder)
    await rewarder.flush()
    assert await rig.posterior() == (250_000, 750_000)
    await rewarder.drain()
    assert [event.context for event in await learnt(rig)] == ["[1.0, 0.0]"]


@pytest.mark.parametrize("definition", [LINEAR | {"missing_reward": "zero", "reward_window": 10.0}], indirect=True)
async def test_a_window_closes_with_the_context_of_its_decision(rig: Rig) -> None:
    process = await rig.process()
    at = now_ms() - 20_000
    operation = in_context("old", b"[0.5, 0.5]", at=at, closes_ms=at + 10_000)
    operation.record = _with_context(operation, [0.5, 0.5])
    await process.commit(operation)
    before, after = await rebuilt(rig, process)
    assert before == after
    await process.settle()
    await process.commit(close_of(pending_member(operation.record), now_ms(), has_context=True))
    await process.drain()
    [event] = await learnt(rig)
    assert (event.reward_micro, event.context) == (0, "[0.5, 0.5]")
    assert 0 < await rig.redis.pttl(ExperimentKeys(ID).context(signed("old"))) <= 25 * HOUR_MS


@pytest.mark.parametrize("definition", [SEGMENTED], indirect=True)
async def test_the_counts_of_segments_come_back_with_and_without_a_snapshot(rig: Rig) -> None:
    process = await rig.process()
    for name, micro, arm, segment in (("a", 300_000, 0, 1), ("b", 1_000_000, 1, 1), ("c", 0, 0, 0)):
        await process.commit(
            reward(
                signed(name),
                micro,
                arm=arm,
                segment=segment,
                circumstances=Circumstances("segment", ("day", "night")[segment]),
            )
        )
    before, after = await rebuilt(rig, process)
    assert before == after
    assert before[ExperimentKeys(ID).segments][b"r:1:0"] == b"300000"
    await process.settle()
    await process.snapshots.keep(rig.experiment, await rig.store.head(ID))
    await process.drain()
    snapshot = await rig.events.last_snapshot(ID, rig.experiment.priors)
    assert snapshot.seq > 0
    assert sorted(await rig.events.fold_segments(ID, snapshot), key=lambda each: (each.segment, each.arm_index)) == [
        SegmentCount("day", 0, 1, 0),
        SegmentCount("night", 0, 1, 300_000),
        SegmentCount("night", 1, 1, 1_000_000),
    ]
    before, after = await rebuilt(rig, process)
    assert before == after


@pytest.mark.parametrize("definition", [SEGMENTED | {"missing_reward": "zero", "reward_window": 10.0}], indirect=True)
async def test_a_window_that_closes_enters_the_segment_of_its_decision(rig: Rig) -> None:
    process = await rig.process()
    at = now_ms() - 20_000
    operation = decide(
        signed("old"), at=at, closes_ms=at + 10_000, segment=1, circumstances=Circumstances("segment", "night")
    )
    await process.commit(operation)
    before, after = await rebuilt(rig, process)
    assert before == after
    await process.settle()
    member = pending_member(operation.record, 1)
    await process.commit(close_of(member, now_ms(), segments=rig.experiment.segments))
    counts = await rig.store.beliefs(ID, 2)
    assert counts.segment_rewards == {(1, 0): 1}
    before, after = await rebuilt(rig, process)
    assert before == after


@pytest.mark.parametrize("definition", [{"missing_reward": "zero", "reward_window": 10.0}], indirect=True)
async def test_every_position_of_a_slate_comes_back(rig: Rig) -> None:
    process = await rig.process()
    at = now_ms()
    for position, arm in enumerate((1, 0)):
        await process.commit(
            decide(signed("slate"), arm=arm, at=at, closes_ms=at + 10_000, position=position),
            reward(signed("slate"), 100_000 * (position + 1), arm=arm, at=at, mode="z", position=position),
        )
    before, after = await rebuilt(rig, process)
    assert before == after
    names = ExperimentKeys(ID)
    assert {names.rewarded(signed("slate")), names.rewarded(signed("slate"), 1)} <= before.keys()


@pytest.mark.parametrize("definition", [GAUSSIAN], indirect=True)
async def test_sums_of_squares_come_back_exactly(rig: Rig) -> None:
    process = await rig.process()
    micros = (-3_250_001, 999_999_999, 500_000)
    for number, micro in enumerate(micros):
        await process.commit(reward(signed(str(number)), micro, is_gaussian=True))
    squares = sum((micro * micro + 500_000) // 1_000_000 for micro in micros)
    for _ in range(2):
        before, after = await rebuilt(rig, process)
        assert before == after
        assert before[ExperimentKeys(ID).alpha(0)][0] == str(sum(micros)).encode()
        assert before[ExperimentKeys(ID).beta(0)][0] == str(squares).encode()
        await process.settle()
        await process.snapshots.keep(rig.experiment, await rig.store.head(ID))


def _with_context(operation: Operation, context: list[float]) -> Any:
    return replace(operation.record, circumstances=Circumstances("context", context=context))


async def _recovered(process: Process) -> None:
    async with asyncio.timeout(5.0):
        while process.lane.recovering:
            await asyncio.sleep(0.01)
