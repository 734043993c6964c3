"""A batch is written once, and the totals are raised by exactly what was inserted."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bandit_service.domain.event import Event, Kind, Row
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.ledger.producers import Producers
from bandit_service.ledger.writer import LedgerWriter, OtherTimelineError, Written

NOW = 1_790_000_000_000
UNIT = "ab" * 16
KINDS: tuple[Kind, ...] = ("decision", "activation", "reward", "outcome", "late")
_numbers = itertools.count(1)


def event(decision_id: str, kind: Kind = "decision", **fields: Any) -> Event:
    first = Event("e", decision_id, kind, NOW, NOW, 0, "bandit", counted=True)
    return replace(first, **fields)


def rows(*events: Event) -> list[Row]:
    """Return an attempt to insert events, unlike every other one."""
    number = next(_numbers)
    return [Row(number, place, each) for place, each in enumerate(events)]


async def query(pool: Pool, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(statement.encode(), parameters)).fetchall()


async def assert_totals_equal_events(pool: Pool) -> None:
    totals = """
        SELECT experiment_id, arm_index, stratum, segment, weights_version, sum(decisions), sum(rewards),
            sum(reward_micro), sum(square_micro)
        FROM arm_totals GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    """
    assert await query(pool, totals) == await query(pool, "SELECT * FROM folded_events ORDER BY 1, 2, 3, 4, 5")


@pytest.fixture
def writer(pool: Pool) -> LedgerWriter:
    return LedgerWriter(pool)


@pytest.fixture
async def timeline(pool: Pool) -> str:
    [(timeline,)] = await query(pool, "SELECT ledger_timeline()")
    return str(timeline)


# --- exactly once


async def test_a_batch_is_inserted_and_raises_the_totals(pool: Pool, writer: LedgerWriter, timeline: str) -> None:
    reward = event("d1", "reward", reward_micro=-1_500_000, weights_version=3, segment="de")
    assert await writer.write(rows(event("d1"), event("d2", arm_index=1), reward), timeline) == Written(
        frozenset({0, 1, 2}), {}
    )
    totals = (
        "SELECT arm_index, segment, weights_version, decisions, rewards, reward_micro, square_micro FROM arm_totals"
    )
    assert sorted(await query(pool, totals)) == [
        (0, "", 0, 1, 0, 0, 0),
        (0, "de", 3, 0, 1, -1_500_000, 2_250_000),
        (1, "", 0, 1, 0, 0, 0),
    ]
    await assert_totals_equal_events(pool)


async def test_a_row_that_is_not_counted_leaves_the_totals_alone(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    await writer.write(rows(event("d1", counted=False)), timeline)
    assert await query(pool, "SELECT * FROM arm_totals") == []


async def test_the_same_attempt_again_inserts_nothing_and_is_known_as_the_first(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    attempt = rows(event("d1"), event("d1", "reward", reward_micro=7))
    await writer.write(attempt, timeline)
    assert await writer.write(attempt, timeline) == Written(frozenset(), {})
    firsts = await writer.first([row.event for row in attempt], timeline)
    assert [first and first.row[:2] for first in firsts] == [row[:2] for row in attempt]
    await assert_totals_equal_events(pool)


async def test_the_event_that_is_read_after_a_conflict_is_the_one_that_was_inserted(
    writer: LedgerWriter, timeline: str
) -> None:
    """Whoever told of it can write it again as it was."""
    stored = event(
        "d1",
        unit_hash=UNIT,
        context='{"x": 1.5}',
        propensity=0.25,
        weights_version=3,
        revision=2,
        segment="de",
        vector="subset",
        slate_propensity=0.125,
        settles=True,
        bucket_ms=NOW - 500,
    )
    [attempt] = rows(stored)
    await writer.write([attempt], timeline)
    [first] = await writer.first([event("d1", arm_index=1, counted=False)], timeline)
    assert first is not None
    assert first.row == attempt
    assert not first.filled


async def test_the_first_of_a_key_wins_and_the_rival_can_read_it(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    rivals = [event("d1", "reward", reward_micro=value, arm_index=0) for value in range(8)]
    written = await asyncio.gather(*[writer.write(rows(rival), timeline) for rival in rivals])
    assert [len(each.inserted) for each in written].count(1) == 1
    winner = next(rival for rival, each in zip(rivals, written, strict=True) if each.inserted)
    firsts = await writer.first(rivals, timeline)
    assert {first.row.event.reward_micro for first in firsts if first is not None} == {winner.reward_micro}
    await assert_totals_equal_events(pool)


async def test_of_the_same_key_within_a_batch_the_first_place_wins(writer: LedgerWriter, timeline: str) -> None:
    attempt = rows(*[event("d1", "reward", reward_micro=value) for value in (5, 6, 7)])
    assert (await writer.write(attempt, timeline)).inserted == {0}


# --- what cannot be stored is kept apart


BAD = {
    "a NUL in a text": event("d\0"),
    "half a surrogate pair": event("d\ud800"),
    "a number too large": event("d", position=2**15),
    "a context that is no JSON": event("d", context="{"),
    "a stratum nobody knows": event("d", stratum="nobody's"),
    "a time out of range": event("d", decision_ms=2**62),
    "a backslash before a NUL": event("d\\\0\\u0000"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_value_is_found_and_kept_apart_and_everything_else_is_written(
    pool: Pool, writer: LedgerWriter, timeline: str, bad: Event
) -> None:
    events = [event(f"d{number}") for number in range(20)]
    written = await writer.write(rows(*events[:13], bad, *events[13:]), timeline)
    assert written.inserted == set(range(21)) - {13}
    assert list(written.refused) == [13]
    assert written.refused[13].startswith("bad value: ")
    [(experiment_id, reason)] = await query(pool, "SELECT experiment_id, reason FROM refused_events")
    assert (experiment_id, reason) == ("e", written.refused[13])
    await assert_totals_equal_events(pool)


async def test_an_event_of_a_dropped_day_is_refused_because_it_would_count_twice(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    await query_nothing(pool, "UPDATE kept_from SET oldest = to_timestamp(%s / 1000.0)", NOW - 10)
    written = await writer.write(rows(event("d1", decision_ms=NOW - 11), event("d2", decision_ms=NOW - 10)), timeline)
    assert written == Written(frozenset({1}), {0: "too old"})
    assert await query(pool, "SELECT reason, event ->> 'decision_id' FROM refused_events") == [("too old", "d1")]


async def query_nothing(pool: Pool, statement: str, *parameters: object) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement.encode(), parameters)


async def test_on_another_timeline_nothing_is_written(pool: Pool, writer: LedgerWriter, timeline: str) -> None:
    with pytest.raises(OtherTimelineError, match=timeline):
        await writer.write(rows(event("d1")), "00000099")
    assert await query(pool, "SELECT * FROM bandit_events") == []
    assert await query(pool, "SELECT * FROM refused_events") == []


async def test_what_is_there_on_another_timeline_is_not_what_was_met(writer: LedgerWriter) -> None:
    with pytest.raises(OtherTimelineError):
        await writer.first([event("d1")], "00000099")


async def test_an_unreadable_entry_of_a_spool_is_kept_apart(pool: Pool, writer: LedgerWriter) -> None:
    await writer.refuse_unreadable([b"\x00\xff"])
    assert await query(pool, "SELECT reason, event FROM refused_events") == [("unreadable", {"base64": "AP8="})]


# --- many writers


async def test_writers_of_the_same_keys_in_any_order_do_not_deadlock(postgres_dsn: str, timeline: str) -> None:
    """Each batch names the same keys, units and totals, in an order of its own."""
    rng = np.random.default_rng(5)
    keys = [event(f"d{n}", arm_index=n % 5, unit_hash=f"{n % 7:032x}") for n in range(40)]

    async def write(writer: LedgerWriter) -> None:
        for number in range(25):
            chosen = [replace(keys[place], decision_ms=NOW + number) for place in rng.permutation(len(keys))]
            written = await writer.write(rows(*chosen), timeline)
            assert not written.refused

    async with make_pool(postgres_dsn, max_size=4) as pool:
        started = time.monotonic()
        await asyncio.gather(*[write(LedgerWriter(pool, slot=slot % 2)) for slot in range(4)])
        assert time.monotonic() - started < 20
        assert await query(pool, "SELECT count(*) FROM bandit_events") == [(1_000,)]
        assert await query(pool, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
        await assert_totals_equal_events(pool)


@pytest.mark.parametrize("seed", range(3))
async def test_totals_equal_the_events_after_random_batches_of_several_processes(
    pool: Pool, timeline: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def some() -> Event:
        kind = KINDS[rng.integers(len(KINDS))]
        return event(
            f"d{rng.integers(150)}",
            kind,
            arm_index=int(rng.integers(3)),
            stratum=str(rng.choice(["bandit", "holdout", "direct"])),
            counted=bool(rng.integers(2)),
            reward_micro=None if kind in {"decision", "activation"} else int(rng.integers(-(10**9), 10**9)),
            segment=[None, "de", "fr"][rng.integers(3)],
            weights_version=[None, 1, 2][rng.integers(3)],
            settles=bool(rng.integers(2)),
            bucket_ms=[None, NOW][rng.integers(2)],
        )

    async def write(slot: int) -> None:
        writer = LedgerWriter(pool, slot=slot)
        for _ in range(10):
            attempt = rows(*[some() for _ in range(rng.integers(1, 30))])
            for _ in range(rng.integers(1, 3)):
                await writer.write(attempt, timeline)

    await asyncio.gather(*[write(slot) for slot in range(4)])
    await assert_totals_equal_events(pool)


# --- exposures and units


async def test_a_unit_is_exposed_once_by_the_first_decision_that_was_shown(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    shown = [event(f"d{number}", unit_hash=UNIT) for number in range(3)]
    await writer.write(rows(event("d9", unit_hash=UNIT), shown[0], shown[1]), timeline)
    await writer.write(rows(shown[2]), timeline)
    assert await query(pool, "SELECT decision_id, encode(unit_hash, 'hex') FROM exposures") == [("d0", UNIT)]


async def test_an_erased_unit_loses_its_name_and_its_context_but_the_event_counts(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    await query_nothing(pool, "INSERT INTO erased_units (unit_hash) VALUES (decode(%s, 'hex'))", UNIT)
    attempt = rows(event("d1", unit_hash=UNIT, context='{"x": 1}'), event("\0", unit_hash=UNIT))
    assert (await writer.write(attempt, timeline)).inserted == {0}
    assert await query(pool, "SELECT unit_hash, context FROM bandit_events") == [(None, None)]
    assert await query(pool, "SELECT * FROM exposures") == []
    assert await query(pool, "SELECT event ->> 'unit_hash' FROM refused_events") == [(None,)]
    await assert_totals_equal_events(pool)


# --- ids of callers' own


async def test_an_own_id_has_one_winner_and_the_losers_can_read_its_claim(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    rivals = [event("mine", decision_ms=NOW + arm, arm_index=arm, claim=f"[{arm}]") for arm in range(6)]
    written = await asyncio.gather(*[writer.write(rows(rival), timeline) for rival in rivals])
    [winner] = [rival for rival, each in zip(rivals, written, strict=True) if each.inserted]
    firsts = await writer.first(rivals, timeline)
    assert {(first.row.event.decision_ms, first.row.event.claim) for first in firsts if first is not None} == {
        (winner.decision_ms, winner.claim)
    }
    assert {first.row.event.arm_index for first in firsts if first is not None} == {winner.arm_index}
    assert await query(pool, "SELECT arm_index FROM bandit_events") == [(winner.arm_index,)]
    await assert_totals_equal_events(pool)


async def test_the_decision_of_an_own_id_may_be_recorded_by_whoever_knows_it(
    writer: LedgerWriter, timeline: str
) -> None:
    decision = event("mine", claim="[1]")
    await writer.write(rows(decision), timeline)
    assert await writer.write(rows(decision), timeline) == Written(frozenset(), {})


# --- what depends on several events


async def test_decisions_whose_outcome_depends_on_several_events_are_left_for_the_lease_holder(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    attempt = rows(event("d1", settles=True), event("d2"), event("d3", "reward", reward_micro=1, settles=True))
    await writer.write(attempt, timeline)
    await writer.write(attempt, timeline)
    [(experiment_id, decision_ids)] = await query(pool, "SELECT experiment_id, decision_ids FROM unsettled")
    assert (experiment_id, sorted(decision_ids)) == ("e", ["d1", "d3"])


async def test_a_late_event_of_an_open_window_raises_the_count_of_its_bucket(
    pool: Pool, writer: LedgerWriter, timeline: str
) -> None:
    await writer.write(rows(event("d1", bucket_ms=NOW), event("d2", bucket_ms=NOW)), timeline)
    await writer.write(rows(event("d1", "reward", reward_micro=1, bucket_ms=NOW)), timeline)
    assert await query(pool, "SELECT events FROM open_buckets") == [(3,)]


async def test_each_process_raises_rows_of_its_own_slot(pool: Pool, timeline: str) -> None:
    producers = Producers(pool)
    slots = [(await producers.register(name)).slot for name in ("a", "b", "c")]
    assert slots == [0, 1, 2]
    await LedgerWriter(pool, slot=0).write(rows(event("d1")), timeline)
    await LedgerWriter(pool, slot=2).write(rows(event("d2")), timeline)
    assert sorted(await query(pool, "SELECT slot, decisions FROM arm_totals")) == [(0, 1), (2, 1)]
