"""A lane never loses sight of an operation: it waits, is under way, is kept, or was answered."""

import asyncio
import time

import pytest

from bandit_service.domain.event import EventRecord
from bandit_service.events.lane import Lane, Reply
from bandit_service.events.operations import UNKNOWN, UNRECORDED, Decide, Operation, Reward
from bandit_service.redis_store.connection import Command


def decide(name: str) -> Decide:
    return Decide(_record(name), counter="d:")


def reward(name: str) -> Reward:
    return Reward(_record(name), mode="b", deadline_ms=None)


def _record(name: str) -> EventRecord:
    now = round(time.time() * 1_000)
    return EventRecord(name, now, now, 0, "bandit")


def reply(*results: int, committed: int = 0) -> Reply:
    return Reply(0, 1, committed, 0, 0, 0, results)


def waited_for(operation: Operation) -> asyncio.Future[int]:
    operation.future = asyncio.get_running_loop().create_future()
    return operation.future


@pytest.fixture
def lane() -> Lane:
    lane = Lane("homepage", "process-1", marker_life_ms=1_000, retain_limit=3)
    lane.epoch = 1
    return lane


def names(lane: Lane) -> list[str]:
    return [operation.record.decision_id for _, operation in lane.retained]


async def test_what_entered_the_stream_is_kept_and_what_did_not_is_only_answered(lane: Lane) -> None:
    first, duplicate, late = decide("a"), reward("b"), reward("c")
    outcomes = [waited_for(operation) for operation in (first, duplicate, late)]
    lane.queue.extend((first, duplicate, late))
    lane.next_batch(10)
    lane.succeed(reply(7, 0, -1))
    assert [outcome.result() for outcome in outcomes] == [7, 0, -1]
    assert names(lane) == ["a"]


async def test_what_postgres_has_is_released(lane: Lane) -> None:
    lane.queue.extend([decide("a"), decide("b")])
    lane.next_batch(10)
    lane.succeed(reply(1, 2, committed=1))
    assert names(lane) == ["b"]


@pytest.mark.parametrize("doubt", ["settling", "unverified"])
async def test_nothing_is_released_while_the_store_is_in_doubt(lane: Lane, doubt: str) -> None:
    lane.queue.append(decide("a"))
    lane.next_batch(10)
    lane.succeed(reply(1))
    setattr(lane, doubt, True)
    lane.release(committed=1)
    assert names(lane) == ["a"]


async def test_past_its_bound_the_oldest_kept_event_gives_way_and_is_counted(lane: Lane) -> None:
    lane.queue.extend([decide(name) for name in "abcde"])
    lane.next_batch(10)
    lane.succeed(reply(1, 2, 3, 4, 5))
    assert (names(lane), lane.forgotten) == (["c", "d", "e"], 2)


async def test_a_batch_under_way_is_sent_again_under_its_number(lane: Lane) -> None:
    lane.queue.append(decide("a"))
    batch = lane.next_batch(10)
    lane.queue.append(decide("b"))
    assert lane.next_batch(10) is batch
    lane.succeed(reply(1))
    assert lane.next_batch(10).number == batch.number + 1


async def test_in_an_outage_everybody_is_answered_decisions_wait_and_rewards_are_given_back(lane: Lane) -> None:
    under_way, waiting, given_back = reward("a"), decide("b"), reward("c")
    outcomes = [waited_for(operation) for operation in (under_way, waiting, given_back)]
    lane.queue.append(under_way)
    batch = lane.next_batch(10)
    lane.queue.extend((waiting, given_back))
    lane.unanswered()
    assert [outcome.result() for outcome in outcomes] == [UNRECORDED] * 3
    assert (lane.next_batch(10), list(lane.queue)) == (batch, [waiting])


async def test_in_a_new_epoch_what_was_lost_is_sent_before_anything_newer(lane: Lane) -> None:
    kept, unsure, newer = decide("kept"), reward("unsure"), decide("newer")
    lane.queue.append(kept)
    lane.next_batch(10)
    lane.succeed(reply(5))
    lane.queue.append(unsure)
    lane.next_batch(10)
    lane.queue.append(newer)
    assert lane.unconfirmed() == [kept, unsure]
    lane.restart(2, [kept, unsure])
    assert (list(lane.queue), list(lane.retained), lane.under_way) == ([kept, unsure, newer], [], None)


async def test_what_a_stream_no_longer_holds_is_sent_again_in_order(lane: Lane) -> None:
    lane.queue.extend([decide(name) for name in "abc"])
    lane.next_batch(10)
    lane.succeed(reply(1, 2, 3))
    lane.resend(list(lane.retained)[1:])
    assert names(lane) == ["a"]
    assert [operation.record.decision_id for operation in lane.queue] == ["b", "c"]


async def test_a_lane_knows_how_far_the_stream_has_come(lane: Lane) -> None:
    assert lane.known_seq == 0
    lane.queue.extend([decide("a"), decide("b")])
    lane.next_batch(10)
    lane.succeed(reply(1, 2))
    assert lane.known_seq == 2
    lane.release(committed=9)
    assert lane.known_seq == 9
    lane.restart(2, [])
    assert lane.known_seq == 0


async def test_what_was_accepted_is_not_judged_again(lane: Lane) -> None:
    """Sent again to a store that forgot it, a reward has no deadline, needs no activation and pre-empts nobody."""
    accepted = Reward(_record("a"), mode="b", deadline_ms=5, needs_activation=True)
    lane.queue.append(accepted)
    first = lane.next_batch(10).command
    lane.succeed(reply(1))
    lane.recovering = True
    lane.resend(list(lane.retained))
    again = lane.next_batch(10).command
    activation = lane.keys.activated("a")
    assert (activation in first, activation in again) == (True, False)
    assert (_deadline(first), _deadline(again)) == (5, "")
    assert (_tentative(first), _tentative(again)) == (0, 0)


async def test_a_batch_made_before_a_doubt_is_tentative_when_it_is_sent_again(lane: Lane) -> None:
    lane.queue.append(reward("a"))
    before = lane.next_batch(10)
    lane.recovering = True
    after = lane.next_batch(10)
    assert (after.number, after.operations) == (before.number, before.operations)
    assert (_tentative(before.command), _tentative(after.command)) == (0, 1)


async def test_a_reward_that_may_have_been_forgotten_is_given_back(lane: Lane) -> None:
    lane.recovering = True
    unsure = reward("a")
    outcome = waited_for(unsure)
    lane.queue.append(unsure)
    lane.next_batch(10)
    lane.succeed(reply(UNKNOWN))
    assert outcome.result() == UNRECORDED
    assert (lane.is_empty, lane.waiting) == (True, 0)


def _deadline(command: Command) -> str | bytes | int:
    return command[command.index("R") + 4]


def _tentative(command: Command) -> str | bytes | int:
    return command[command.index("R") + 10]


async def test_what_is_held_waits_until_the_lane_has_recovered(lane: Lane) -> None:
    lane.recovering = True
    held = decide("mine")
    outcome = waited_for(held)
    lane.queue.append(held)
    lane.next_batch(10)
    assert held.tentative
    lane.succeed(reply(UNKNOWN))
    assert outcome.result() == UNRECORDED
    assert (lane.is_empty, lane.waiting) == (True, 1)
    lane.recovered()
    assert list(lane.queue) == [held]
    lane.next_batch(10)
    assert not held.tentative
