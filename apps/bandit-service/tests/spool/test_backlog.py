"""A long queue is packed, and comes out as it went in: in its order, and with everything that is asked about it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from bandit_service.domain.event import Batch, Kind
from bandit_service.spool.backlog import Backlog
from bandit_service.spool.packing import size_of
from bandit_service.spool.pending import Pending

from .process import DECIDED, event

MANY = 6_000


def pending(number: int, kind: Kind = "decision") -> Pending:
    return Pending(Batch(number, (event(f"d{number}", kind, event_ms=DECIDED + number),)), f"{number}-0")


@pytest.fixture
def long() -> Backlog:
    backlog = Backlog()
    for number in range(MANY):
        backlog.add(pending(number))
    return backlog


def drained(backlog: Backlog, *, decided: bool = True) -> list[Pending]:
    """Write everything, some hundred events at a time."""
    found: list[Pending] = []
    while ready := backlog.ready(decided=decided):
        backlog.take_off(ready)
        found += ready
    return found


def batches(found: Sequence[Pending]) -> list[Batch]:
    return [each.batch for each in found]


def test_batches_come_out_in_their_order_with_their_places(long: Backlog) -> None:
    found = drained(long)
    assert batches(found) == batches([pending(number) for number in range(MANY)])
    assert [each.entry for each in found] == [f"{number}-0" for number in range(MANY)]
    assert not long
    assert long.saved == 0


def test_a_long_queue_takes_a_fraction_of_its_memory(long: Backlog) -> None:
    size = sum(size_of(pending(number).batch.events) for number in range(MANY))
    assert long.saved > 0.5 * size


def test_it_says_what_is_oldest_without_unpacking(long: Backlog) -> None:
    for taken in (0, 500, 1_000):
        assert (long.oldest, min(long.oldest_ms()), long.first_entry()) == (taken + 1, DECIDED + taken, f"{taken}-0")
        long.take_off(long.ready(decided=True))
    drained(long)
    assert (long.oldest, long.oldest_ms(), long.first_entry()) == (MANY + 1, [], None)


def test_what_comes_while_it_is_written_is_not_lost(long: Backlog) -> None:
    rng, number, found = random.Random(1), MANY, []
    while ready := long.ready(decided=True):
        for _ in range(rng.randrange(900) if number < 4 * MANY else 0):
            long.add(pending(number))
            number += 1
        long.take_off(ready)
        found += ready
    assert [each.batch.number for each in found] == list(range(number))


def test_while_others_write_again_only_what_is_not_decided_is_ready() -> None:
    backlog = Backlog()
    for number in range(10):
        backlog.add(pending(number, "reward" if number % 2 else "decision"))
    assert [each.batch.number for each in drained(backlog, decided=False)] == [0, 2, 4, 6, 8]
    assert [each.batch.number for each in drained(backlog)] == [1, 3, 5, 7, 9]


async def test_a_batch_of_which_somebody_waits_to_hear_is_the_same_when_it_is_written() -> None:
    backlog = Backlog()
    recorded: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    for number in range(MANY):
        backlog.add(pending(number))
    backlog.add(Pending(pending(MANY).batch, None, recorded))
    for number in range(MANY + 1, 2 * MANY):
        backlog.add(pending(number))
    [waited_for] = [each for each in drained(backlog) if each.batch.number == MANY]
    assert waited_for.recorded is recorded


def test_a_text_that_cannot_be_packed_keeps_nothing_else_back(long: Backlog) -> None:
    long.add(Pending(Batch(MANY, (event("d\ud800"),)), None))
    for number in range(MANY + 1, 2 * MANY):
        long.add(pending(number))
    assert [each.batch.number for each in drained(long)] == list(range(2 * MANY))


async def test_every_batch_gets_a_new_place_and_meanwhile_others_come_and_go(long: Backlog) -> None:
    appended: list[int] = []

    async def append(some: Sequence[Batch]) -> list[str]:
        long.take_off(long.ready(decided=True)[:3])
        long.add(pending(MANY + len(appended)))
        await asyncio.sleep(0)
        appended.extend(batch.number for batch in some)
        return [f"{10 * MANY + batch.number}-0" for batch in some]

    await long.append_again(append)
    assert appended == list(range(MANY))
    assert long.first_entry() is not None
    found = [each for each in drained(long) if each.batch.number < MANY]
    assert {each.entry == f"{10 * MANY + each.batch.number}-0" for each in found} == {True}


async def test_an_append_that_fails_leaves_everything_there(long: Backlog) -> None:
    async def fail(_: Sequence[Batch]) -> list[str]:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await long.append_again(fail)
    assert len(drained(long)) == MANY
