"""Events in Postgres: each once, in the order of one stream, and folded to the number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bandit_service.domain.allocation import AllocationRecord
from bandit_service.domain.event import EventKey, EventRecord, Kind, encode_record
from bandit_service.domain.experiment import MICRO
from bandit_service.domain.own_decision import OwnDecision
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.events import (
    ArmTotals,
    EventLog,
    OpenWindow,
    Position,
    Refusal,
    Snapshot,
    SnapshotRow,
    StreamBatch,
    StreamEvent,
)
from bandit_service.ledger.pool import Pool

from .conftest import ID

AT = 1_700_000_000_123


async def nothing_happened() -> None:
    """Confirm that the streams are still what was read."""


def event(seq: int, name: str = "", kind: Kind = "decision", **more: Any) -> StreamEvent:
    believed, micro = more.pop("believed", False), more.pop("micro", None)
    fields: dict[str, Any] = {"arm_index": 0, "stratum": "bandit", "propensity": 0.5, "weights_version": 1} | more
    record = EventRecord(name or f"d1.{seq}", fields.pop("at", AT), AT, reward_micro=micro, **fields)
    return StreamEvent(seq, kind.encode(), b"1" if believed else b"0", encode_record(record))


def batch(*events: StreamEvent, epoch: int = 0, name: str = ID) -> StreamBatch:
    return StreamBatch(name, epoch, events)


async def write(log: EventLog, *batches: StreamBatch) -> dict[str, int | Refusal]:
    return await log.write(batches, nothing_happened)


async def stored(pool: Pool) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT decision_id, epoch, seq FROM bandit_events ORDER BY epoch, seq")
        return await cursor.fetchall()


async def pages[T](pages: AsyncIterator[list[T]]) -> list[T]:
    return [row async for page in pages for row in page]


async def test_a_batch_moves_the_position(log: EventLog, pool: Pool) -> None:
    assert await log.position(ID) == Position(0, 0)
    assert await write(log, batch(event(1), event(2))) == {ID: 2}
    assert await log.position(ID) == Position(0, 2)
    assert await stored(pool) == [("d1.1", 0, 1), ("d1.2", 0, 2)]


async def test_what_is_written_already_is_not_written_again(log: EventLog, pool: Pool) -> None:
    await write(log, batch(event(1), event(2)))
    assert await write(log, batch(event(1), event(2), event(3))) == {ID: 3}
    assert await write(log, batch(event(2))) == {ID: 3}
    assert len(await stored(pool)) == 3


async def test_a_gap_is_refused(log: EventLog, pool: Pool) -> None:
    assert await write(log, batch(event(2))) == {ID: Refusal.GAP}
    assert await stored(pool) == []


async def test_another_epoch_is_refused(log: EventLog, pool: Pool) -> None:
    assert await write(log, batch(event(1), epoch=1)) == {ID: Refusal.OTHER_EPOCH}
    assert await log.raise_epoch(ID) == Position(1, 0)
    assert await write(log, batch(event(1))) == {ID: Refusal.OTHER_EPOCH}
    assert await write(log, batch(event(1), epoch=1)) == {ID: 1}
    assert await stored(pool) == [("d1.1", 1, 1)]


async def test_a_refused_batch_does_not_keep_others_back(log: EventLog, pool: Pool) -> None:
    assert await write(log, batch(event(1), name="unknown"), batch(event(1))) == {
        "unknown": Refusal.OTHER_EPOCH,
        ID: 1,
    }
    assert len(await stored(pool)) == 1


async def test_what_is_not_confirmed_is_not_written(log: EventLog, pool: Pool) -> None:
    async def restarted() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await log.write([batch(event(1))], restarted)
    assert await stored(pool) == []
    assert await log.position(ID) == Position(0, 0)


@pytest.mark.parametrize("question", ["position", "raise_epoch"])
async def test_who_asks_how_far_it_is_waits_for_who_is_writing(log: EventLog, question: str) -> None:
    confirmed, go_on = asyncio.Event(), asyncio.Event()

    async def confirm() -> None:
        confirmed.set()
        await go_on.wait()

    writing = asyncio.create_task(log.write([batch(event(1))], confirm))
    await confirmed.wait()
    asking = asyncio.create_task(getattr(log, question)(ID))
    await asyncio.sleep(0.1)
    assert not asking.done()
    go_on.set()
    assert await writing == {ID: 1}
    assert (await asking).committed_seq == 1


async def test_a_writer_that_is_stopped_does_not_hold_its_locks_for_ever(
    log: EventLog, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bandit_service.ledger.events.statement",
        _shortened,
    )

    async def stopped() -> None:
        await asyncio.sleep(1.0)

    with pytest.raises(PostgresUnavailableError):
        await log.write([batch(event(1))], stopped)
    assert await stored(pool) == []


def _shortened(name: str) -> str:
    from bandit_service.ledger.pool import statement

    return statement(name).replace("'5s'", "'200ms'")


async def test_an_unknown_experiment_has_no_position(log: EventLog) -> None:
    assert await log.position("unknown") is None
    assert await log.raise_epoch("unknown") is None


async def test_an_event_is_known_by_decision_kind_position_and_time(log: EventLog) -> None:
    await write(log, batch(event(1, "a"), event(2, "a", "reward")))
    known = EventKey("a", "decision", 0, AT)
    others = [EventKey("a", "late", 0, AT), EventKey("b", "decision", 0, AT), EventKey("a", "decision", 0, AT + 1)]
    assert await log.present(ID, [known, *others]) == {known}
    assert await log.present("another", [known]) == set()


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["decision", "deferred", "activation", "reward", "ignored", "close", "late", "held"]),
        st.integers(0, 1),
        st.integers(0, MICRO),
    ),
    max_size=60,
)


def happened(seq: int, what: str, arm: int, micro: int) -> StreamEvent:
    match what:
        case "deferred":
            return event(seq, arm_index=arm, deferred=True)
        case "ignored":
            return event(seq, kind="reward", arm_index=arm)
        case "late":
            return event(seq, kind="late", arm_index=arm, micro=micro)
        case "held":
            kind: Kind = "reward" if micro % 2 else "decision"
            return event(seq, kind=kind, arm_index=arm, stratum="holdout", micro=micro if micro % 2 else None)
        case "reward" | "close":
            return event(seq, kind="reward" if what == "reward" else "close", arm_index=arm, micro=micro, believed=True)
        case _:
            return event(seq, kind="decision" if what == "decision" else "activation", arm_index=arm)


def folded(events: list[tuple[str, int, int]]) -> dict[int, ArmTotals]:
    totals: dict[int, ArmTotals] = {}
    for what, arm, micro in events:
        one = totals.setdefault(arm, ArmTotals())
        one.decisions += what in ("decision", "activation")
        if what in ("reward", "close"):
            one.rewards += 1
            one.reward_micro += micro
        if what == "held":
            one.holdout_decisions += micro % 2 == 0
            one.holdout_rewards += micro % 2
            one.holdout_reward_micro += micro * (micro % 2)
    return totals


@given(events=_EVENTS, at=st.integers(0, 60))
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_fold_of_all_events_is_a_snapshot_and_the_fold_of_the_later_ones(
    log: EventLog, pool: Pool, events: list[tuple[str, int, int]], at: int
) -> None:
    async with pool.connection() as connection:
        await connection.execute("TRUNCATE bandit_events")
        await connection.execute("UPDATE event_positions SET epoch = 0, committed_seq = 0")
    if events:
        await write(log, batch(*[happened(seq, *each) for seq, each in enumerate(events, 1)]))
    assert await log.fold(ID, Snapshot()) == folded(events)
    earlier = Snapshot(0, at, folded(events[:at]))
    assert await log.fold(ID, earlier) == folded(events)


async def test_the_newest_snapshot_is_the_one_of_the_last_epoch(log: EventLog) -> None:
    priors = {0: (MICRO, MICRO), 1: (3, 5)}
    for epoch, seq in ((1, 900), (2, 5), (1, 1_000)):
        rows = [
            SnapshotRow(ID, epoch, seq, arm, "ab"[arm], 1.0, priors[arm][0] + seq, priors[arm][1], seq, 1, 2, 3, 4)
            for arm in (0, 1)
        ]
        await log.save_snapshot(rows)
        await log.save_snapshot(rows)
    snapshot = await log.last_snapshot(ID, priors)
    assert snapshot == Snapshot(2, 5, {arm: ArmTotals(5, 1, 5, 2, 3, 4) for arm in (0, 1)})
    assert await log.last_snapshot("another", priors) == Snapshot()


async def test_windows_are_open_until_they_are_closed_and_from_when_the_decision_counts(log: EventLog) -> None:
    await write(
        log,
        batch(
            event(1, "open", arm_index=1),
            event(2, "closed"),
            event(3, "closed", "close", believed=True, micro=0),
            event(4, "deferred", deferred=True),
            event(5, "shown", deferred=True),
            event(6, "shown", "activation", deferred=True),
            event(7, "held", stratum="holdout"),
            event(8, "paused", stratum="paused"),
        ),
    )
    windows = sorted(await log.open_windows(ID), key=lambda window: window.decision_id)
    assert windows == [OpenWindow("open", 1, AT, 0, None), OpenWindow("shown", 0, AT, 0, None)]


async def test_markers_come_by_kind_and_from_a_time_on(log: EventLog) -> None:
    await write(
        log,
        batch(
            event(1, "old", "reward", at=AT - 1, micro=1),
            event(2, "new", "reward", micro=2),
            event(3, "ignored", "reward"),
            event(4, "late", "late", micro=3),
            event(5, "shown", "activation"),
        ),
    )
    assert sorted(await pages(log.markers(ID, "reward", AT))) == [("ignored", 0, None), ("new", 0, 2)]
    assert await pages(log.markers(ID, "late", AT)) == [("late", 0, 3)]
    assert await pages(log.markers(ID, "activation", AT)) == [("shown", 0, None)]


async def test_callers_own_decisions_are_told_from_the_services(log: EventLog) -> None:
    await write(log, batch(event(1, "d1.signed"), event(2, "mine", arm_index=1, deferred=True)))
    assert await pages(log.own_decisions(ID, AT - 1)) == [("mine", OwnDecision(1, 0.5, AT, "bandit", True, 1))]  # noqa: FBT003


async def test_units_are_those_the_bandit_decided_for(log: EventLog) -> None:
    one, two = "ab" * 16, "cd" * 16
    await write(
        log,
        batch(
            event(1, unit_hash=one),
            event(2, unit_hash=one),
            event(3, unit_hash=two, stratum="holdout"),
            event(4),
        ),
    )
    assert await pages(log.exposed_units(ID)) == [one]


async def test_the_last_allocation_is_the_one_of_the_highest_version(log: EventLog) -> None:
    assert await log.last_allocation(ID) is None
    for version in (9, 10, 2):
        record = AllocationRecord(
            version=version,
            epoch=1,
            revision=3,
            belief_version=1,
            seq=1,
            published_at=float(version),
            changed_at=1.0,
            weights={"a": 0.5, "b": 0.5},
            prob_best={"a": 0.25, "b": 0.75},
            expected_loss={"a": 0.1, "b": 0.0},
        )
        await log.save_allocation(ID, record, {"strategy": "thompson"}, "in words")
    last = await log.last_allocation(ID)
    assert last is not None
    assert (last.version, last.revision, last.published_at) == (10, 3, 10.0)
    assert (last.weights, last.prob_best["b"]) == ({"a": 0.5, "b": 0.5}, 0.75)
