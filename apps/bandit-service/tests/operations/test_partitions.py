"""Partitions are there before their day begins, and writers hardly notice how they come about."""

import asyncio
import time
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.partitions import Day, Partitions
from bandit_service.ledger.pool import Pool, connected, make_pool
from bandit_service.operations.partitions import PartitionKeeper, wanted_days

from .conftest import NewRecorded, Recorded

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS = [Day(date(2026, 11, 20) + timedelta(days=ahead)) for ahead in range(8)]


@pytest.fixture
def partitions(pool: Pool) -> Partitions:
    return Partitions(pool)


@pytest.fixture
def keeper(partitions: Partitions) -> PartitionKeeper:
    return PartitionKeeper(partitions, clock=NOVEMBER.timestamp)


@pytest.fixture
async def recorded(new_recorded: NewRecorded) -> Recorded:
    recorded = new_recorded()
    await recorded.create()
    return recorded


async def rows(pool: Pool, table: str = "bandit_events") -> int:
    async with connected(pool) as connection:
        cursor = await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
        [count] = await cursor.fetchone() or [0]
        return int(count)


def test_the_day_of_a_moment_and_the_seven_after_it_are_wanted() -> None:
    assert wanted_days(NOVEMBER.timestamp()) == DAYS


def test_a_day_begins_and_ends_at_midnight_utc_whatever_the_zone_it_is_asked_in() -> None:
    moment = datetime.fromisoformat("2027-01-01T01:00:00+02:00")
    assert Day.of(moment) == Day(date(2026, 12, 31))
    assert Day.of(moment).end == datetime(2027, 1, 1, tzinfo=UTC)
    assert Day.of(moment).partition == "bandit_events_2026_12_31"


async def test_partitions_are_made_once(keeper: PartitionKeeper, partitions: Partitions) -> None:
    assert [made.outcome for made in await keeper.make_missing()] == ["created"] * 8
    assert await partitions.days() == DAYS
    assert await keeper.make_missing() == []


async def test_a_running_service_logs_what_it_makes(keeper: PartitionKeeper) -> None:
    with capture_logs() as logs:
        await keeper.keep_ahead()
        await keeper.keep_ahead()
    assert [(entry["event"], entry["partition"]) for entry in logs] == [
        ("partition_created", day.partition) for day in DAYS
    ]


async def test_an_event_goes_to_its_day_and_one_of_no_day_to_the_default(
    keeper: PartitionKeeper, recorded: Recorded, pool: Pool
) -> None:
    await keeper.make_missing()
    await recorded.decide(NOVEMBER, 2)
    await recorded.decide(NOVEMBER - timedelta(days=60))
    assert await rows(pool, "bandit_events_2026_11_20") == 2
    assert await rows(pool, "bandit_events_default") == 1


async def test_a_partition_has_the_keys_indexes_and_checks_of_the_table(keeper: PartitionKeeper, pool: Pool) -> None:
    await keeper.make_missing()
    async with connected(pool) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_index WHERE indrelid = 'bandit_events_2026_11_21'::regclass AND indisvalid"
        )
        assert await cursor.fetchone() == (4,)
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_constraint WHERE conrelid = 'bandit_events_2026_11_21'::regclass AND contype = 'c'"
        )
        assert await cursor.fetchone() == (2,), "kind and stratum; the range itself is not checked twice"


async def test_rows_that_wait_in_the_default_partition_move_along(
    keeper: PartitionKeeper, recorded: Recorded, pool: Pool
) -> None:
    await recorded.decide(NOVEMBER, 500)
    await recorded.decide(NOVEMBER - timedelta(days=60), 3)
    [made, *_] = await keeper.make_missing()
    assert (made.outcome, made.moved) == ("created", 500)
    assert await rows(pool, "bandit_events_2026_11_20") == 500
    assert await rows(pool, "bandit_events_default") == 3


async def test_a_default_partition_that_would_be_read_for_long_is_left_for_a_quiet_hour(
    partitions: Partitions, keeper: PartitionKeeper, recorded: Recorded, pool: Pool
) -> None:
    await recorded.decide(NOVEMBER, 500)
    outcomes = {made.outcome for made in await keeper.make_missing(largest_default=8_192)}
    assert outcomes == {"the default partition is too large"}
    assert await partitions.days() == []
    assert await rows(pool) == 500


async def test_processes_that_make_partitions_at_once_do_not_disturb_each_other(
    keeper: PartitionKeeper, partitions: Partitions
) -> None:
    made = await asyncio.gather(*(keeper.make_missing() for _ in range(4)))
    outcomes = [one.outcome for each in made for one in each]
    assert set(outcomes) <= {"created", "there already", "another process is at it"}
    assert outcomes.count("created") == len(await partitions.days())
    await keeper.make_missing()
    assert await partitions.days() == DAYS


async def test_while_somebody_holds_the_default_partition_it_gives_up_and_changes_nothing(
    keeper: PartitionKeeper, partitions: Partitions, postgres_dsn: str
) -> None:
    with psycopg.connect(postgres_dsn) as somebody:
        somebody.execute("LOCK TABLE bandit_events_default IN ROW EXCLUSIVE MODE")
        started = time.monotonic()
        with pytest.raises(PostgresUnavailableError, match="LockNotAvailable"):
            await keeper.make_missing()
        assert time.monotonic() - started < 4
        assert await partitions.days() == []
    assert len(await keeper.make_missing()) == 8


async def test_writers_lose_nothing_and_wait_little_while_a_hundred_thousand_rows_move(
    new_recorded: NewRecorded, postgres_dsn: str
) -> None:
    """A writer goes on writing into the very day that is being made."""
    longest, done = 0.0, asyncio.Event()
    async with make_pool(postgres_dsn, max_size=4) as pool:
        recorded, busy = new_recorded(), new_recorded("busy")
        await recorded.create()
        await busy.create()
        for _ in range(10):
            await recorded.decide(NOVEMBER, 10_000)

        async def write() -> None:
            nonlocal longest
            while not done.is_set():
                started = time.monotonic()
                await busy.decide(NOVEMBER, 20)
                longest = max(longest, time.monotonic() - started)

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.2)
        [made, *_] = await PartitionKeeper(Partitions(pool), clock=NOVEMBER.timestamp).make_missing(
            largest_default=1 << 40
        )
        done.set()
        await writing
        assert made.outcome == "created"
        assert made.moved >= 100_000
        assert await rows(pool, "bandit_events_2026_11_20") == 100_000 + busy.decisions
        assert await rows(pool, "bandit_events_default") == 0
    print(f"moved {made.moved} rows: locked for {made.blocked:.3f} s, longest write {longest:.3f} s")  # noqa: T201
    assert longest < 2
