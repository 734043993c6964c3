"""Old events leave Postgres exported, and only when no sum depends on them any more."""

import asyncio
import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import psycopg
import pytest
from structlog.testing import capture_logs

from bandit_core.rules.experiment import FeaturesDefinition, PolicyDefinition
from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.partitions import Day, Partitions
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.retention import Archive, RetentionStore, Retired
from bandit_service.operations.archive import FolderArchive
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.operations.retention import Retention, RetentionKeeper, retire

from .conftest import MICRO, NewRecorded, Recorded, add_producer, execute, ms, rows, scalar

JANUARY = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = Day.of(JANUARY)
NOW = datetime(2026, 6, 20, tzinfo=UTC)
UNIT = "aa" * 16
# One slot of totals stands for all: what an experiment has been shown and rewarded altogether.
TOTALS = "SELECT sum(decisions), sum(rewards), sum(reward_micro) FROM arm_totals"


async def at(recorded: Recorded, pool: Pool) -> Recorded:
    """Create the experiment, the partitions of January, and a process that has written everything."""
    await recorded.create()
    await PartitionKeeper(Partitions(pool), clock=JANUARY.timestamp).make_missing()
    await add_producer(pool, drained_to=NOW)
    return recorded


@pytest.fixture
async def recorded(new_recorded: NewRecorded, pool: Pool) -> Recorded:
    """An experiment with two decisions of one unit on the tenth of January, and a reward for the first."""
    recorded = await at(new_recorded(), pool)
    await recorded.decide(JANUARY, 2, unit_hash=UNIT)
    await recorded.reward("d0", JANUARY)
    return recorded


async def run(pool: Pool, archive: Archive | None, *, now: datetime = NOW, **days: int) -> list[Retired]:
    retention = Retention(**(days or {"events": 90}))
    store = RetentionStore(pool, patience=0.5)
    return [one async for one in retire(retention, Partitions(pool), store, archive, now)]


def exported(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(gzip.decompress(file.read_bytes()).decode().splitlines()))


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def events(pool: Pool) -> object:
    return await scalar(pool, "SELECT count(*) FROM bandit_events")


async def reasons(pool: Pool, archive: Archive, **options: datetime) -> dict[str, list[str]]:
    """Return why the first day stays; nothing of it must be gone or refused then."""
    before = await events(pool)
    first, default, *_ = await run(pool, archive, **options)  # type: ignore[arg-type]
    assert first.name == DAY.partition
    if first.needed:
        assert (default.name, default.rows, default.needed) == ("bandit_events_default", 0, {})
        assert await events(pool) == before
        assert await scalar(pool, "SELECT oldest = '-infinity' FROM kept_from")
    return dict(first.needed)


@pytest.mark.usefixtures("recorded")
async def test_an_old_day_is_exported_and_gone_and_its_sums_are_kept(pool: Pool, tmp_path: Path) -> None:
    before = await rows(pool, TOTALS)
    day, *_, default, _ = await run(pool, FolderArchive(tmp_path))
    assert (day.name, day.rows, dict(day.needed)) == (DAY.partition, 3, {})
    assert default.rows == 0
    assert await events(pool) == 0
    assert await Partitions(pool).days() == []
    exports = exported(tmp_path / f"{DAY.partition}.csv.gz")
    assert [row["kind"] for row in exports] == ["decision", "decision", "reward"]
    assert exports[0]["propensity"] == "0.5"
    assert await rows(pool, TOTALS) == before == [(2, 1, MICRO)]
    assert await rows(pool, TOTALS.replace("arm_totals", "dropped_totals")) == before
    assert await Agreement(pool).differences() == []
    assert await scalar(pool, "SELECT count(*) FROM exposures") == 1


async def test_what_comes_for_a_day_that_is_gone_is_refused_and_kept_apart(
    recorded: Recorded, pool: Pool, tmp_path: Path
) -> None:
    await run(pool, FolderArchive(tmp_path))
    written = await recorded.reward("d1", JANUARY)
    assert written.refused == {0: "too old"}
    assert await events(pool) == 0
    assert await scalar(pool, "SELECT reason FROM refused_events") == "too old"
    assert await Agreement(pool).differences() == []


@pytest.mark.usefixtures("recorded")
async def test_an_export_names_units_by_names_that_lead_nowhere(pool: Pool, tmp_path: Path) -> None:
    await run(pool, FolderArchive(tmp_path))
    first, second, reward = exported(tmp_path / f"{DAY.partition}.csv.gz")
    assert first["unit"] == second["unit"] != ""
    assert reward["unit"] == ""
    assert UNIT not in str([first, second, reward])


async def test_a_day_with_a_window_that_is_not_closed_stays(recorded: Recorded, pool: Pool, tmp_path: Path) -> None:
    await recorded.decide(JANUARY, bucket_ms=ms(JANUARY))
    archive = FolderArchive(tmp_path)
    assert await reasons(pool, archive) == {"decisions whose window has not been closed": ["homepage"]}
    await execute(pool, "DELETE FROM open_buckets")
    assert await reasons(pool, archive) == {}


async def test_a_day_with_outcomes_to_be_settled_stays(recorded: Recorded, pool: Pool, tmp_path: Path) -> None:
    await recorded.reward("d1", JANUARY, counted=False, settles=True)
    archive = FolderArchive(tmp_path)
    assert await reasons(pool, archive) == {"outcomes that are not settled": ["homepage"]}
    await execute(pool, "DELETE FROM unsettled")
    assert await reasons(pool, archive) == {}


async def test_what_an_archived_experiment_left_undone_goes_with_its_day(
    recorded: Recorded, pool: Pool, tmp_path: Path
) -> None:
    await recorded.decide(JANUARY, bucket_ms=ms(JANUARY))
    await recorded.reward("d1", JANUARY, counted=False, settles=True)
    await execute(pool, "UPDATE experiments SET status = 'archived', updated_at = %s", [NOW - timedelta(minutes=1)])
    archive = FolderArchive(tmp_path)
    assert len(await reasons(pool, archive)) == 2, "it may have been archived while a process was at it"
    await execute(pool, "UPDATE experiments SET updated_at = %s", [NOW - timedelta(days=1)])
    assert await reasons(pool, archive) == {}
    assert await rows(pool, "SELECT 1 FROM open_buckets UNION ALL SELECT 1 FROM unsettled") == []


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.usefixtures("recorded")
async def test_a_day_stays_while_a_process_may_hold_events_of_it(pool: Pool, tmp_path: Path, *, dead: bool) -> None:
    await add_producer(pool, "p2", drained_to=DAY.end + timedelta(hours=23), dead=dead)
    archive = FolderArchive(tmp_path)
    assert await reasons(pool, archive) == {"processes that may hold events of that time": ["p2"]}
    await execute(pool, "UPDATE producers SET drained_to = %s", [DAY.end + timedelta(hours=25)])
    assert await reasons(pool, archive) == {}


@pytest.mark.usefixtures("recorded")
async def test_a_day_stays_until_every_process_has_met_a_failover(pool: Pool, tmp_path: Path) -> None:
    await execute(pool, "UPDATE producers SET timeline = '00000000'")
    archive = FolderArchive(tmp_path)
    assert await reasons(pool, archive) == {"processes that may hold events of that time": ["p1"]}


async def test_a_day_stays_until_a_checkpoint_holds_its_outcomes(
    new_recorded: NewRecorded, pool: Pool, tmp_path: Path
) -> None:
    policy, context = PolicyDefinition("linear_thompson"), FeaturesDefinition(dimension=1)
    recorded = await at(new_recorded(policy=policy, context=context), pool)
    await recorded.decide(JANUARY, context="[1.0]")
    outcome = recorded.event("d0", "outcome", JANUARY, reward_micro=MICRO)
    await recorded.write(outcome)
    archive = FolderArchive(tmp_path)
    needed = {"outcomes that are in no checkpoint of the linear model": ["homepage"]}
    assert await reasons(pool, archive) == needed
    await execute(pool, "INSERT INTO linear_checkpoints VALUES ('homepage', %s, now(), '')", [recorded.batches - 1])
    assert await reasons(pool, archive) == needed
    await execute(pool, "UPDATE linear_checkpoints SET turn = turn + 1")
    assert await reasons(pool, archive) == {}


async def test_a_day_stays_while_rewards_for_it_are_taken_or_recognised_as_repeated(
    new_recorded: NewRecorded, pool: Pool, tmp_path: Path
) -> None:
    recorded = await at(new_recorded(reward_window=30 * 86_400.0), pool)
    await recorded.decide(JANUARY)
    closes = DAY.end + timedelta(days=30, hours=1)
    early, *_ = await run(pool, FolderArchive(tmp_path), now=closes - timedelta(minutes=1), events=1)
    assert early.needed == {"a reward window that is hardly over": ["homepage"]}
    later, *_ = await run(pool, FolderArchive(tmp_path), now=closes + timedelta(minutes=1), events=1)
    assert later.rows == 1


async def test_a_day_that_stays_keeps_those_after_it(recorded: Recorded, pool: Pool, tmp_path: Path) -> None:
    await recorded.decide(JANUARY, bucket_ms=ms(JANUARY))
    await recorded.decide(JANUARY - timedelta(days=3))
    await recorded.decide(JANUARY + timedelta(days=1))
    day, default, *_ = await run(pool, FolderArchive(tmp_path))
    assert day.needed
    assert default.rows == 1, "older than the day that stays"
    await execute(pool, "UPDATE open_buckets SET bucket = %s", [JANUARY + timedelta(days=1)])
    dropped, kept, default, *_ = await run(pool, FolderArchive(tmp_path))
    assert (dropped.rows, bool(kept.needed), default.rows) == (4, True, 0)
    assert await Agreement(pool).differences() == []
    assert await scalar(pool, "SELECT oldest FROM kept_from") == DAY.end


async def test_old_events_of_the_default_partition_are_exported_and_deleted(
    new_recorded: NewRecorded, pool: Pool, tmp_path: Path
) -> None:
    recorded = new_recorded()
    await recorded.create()
    await recorded.decide(JANUARY, 3)
    await recorded.decide(NOW - timedelta(days=2), 2)
    default, *_ = await run(pool, FolderArchive(tmp_path))
    assert (default.name, default.rows) == ("bandit_events_default", 3)
    [file] = files(tmp_path)
    assert len(exported(file)) == 3
    assert await events(pool) == 2
    assert await Agreement(pool).differences() == []


class BusyFolder(FolderArchive):
    """An event of the day is written, past the rules, just when the day's export is complete."""

    def __init__(self, folder: Path, dsn: str) -> None:
        super().__init__(folder)
        self._dsn = dsn

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        with super().file(name) as file:
            yield file
        with psycopg.connect(self._dsn) as connection:
            connection.execute(
                "INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, batch, ord,"
                " arm_index, stratum, counted) VALUES ('homepage', 'd1', 'late', %(at)s, %(at)s, 0, 4, 0, 'bandit',"
                " false) ON CONFLICT DO NOTHING",
                {"at": JANUARY},
            )


@pytest.mark.usefixtures("recorded")
async def test_an_event_that_comes_during_the_export_is_not_lost(pool: Pool, postgres_dsn: str, tmp_path: Path) -> None:
    archive = BusyFolder(tmp_path, postgres_dsn)
    day, *_ = await run(pool, archive)
    assert list(day.needed) == ["events that came while it was exported; run it again"]
    assert await events(pool) == 4
    day, *_ = await run(pool, archive)
    assert day.rows == 4


@pytest.mark.usefixtures("recorded")
async def test_a_batch_that_began_before_the_day_was_closed_is_waited_for(
    pool: Pool, postgres_dsn: str, tmp_path: Path
) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as batch:
        await batch.execute("UPDATE arm_totals SET decisions = decisions")
        day, *_ = await run(pool, FolderArchive(tmp_path))
        assert list(day.needed) == ["transactions that began before and have not ended; run it again"]
        assert await events(pool) == 3
    day, *_ = await run(pool, FolderArchive(tmp_path))
    assert day.rows == 3


@pytest.mark.usefixtures("recorded")
async def test_a_statement_that_has_read_but_not_written_yet_is_waited_for_too(pool: Pool, postgres_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as batch:
        reading = asyncio.create_task(batch.execute("SELECT pg_sleep(0.4)"))
        await asyncio.sleep(0.1)
        started = asyncio.get_running_loop().time()
        day, *_ = await run(pool, None)
        assert asyncio.get_running_loop().time() - started > 0.2
        await reading
    assert day.rows == 3


@pytest.mark.usefixtures("recorded")
async def test_many_who_drop_at_once_count_a_day_once(pool: Pool) -> None:
    await asyncio.gather(*(run(pool, None) for _ in range(3)), return_exceptions=True)
    await run(pool, None)
    assert await events(pool) == 0
    assert await Agreement(pool).differences() == []


@pytest.mark.usefixtures("recorded")
async def test_a_folder_that_cannot_be_written_costs_nothing(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not-there"):
        await run(pool, FolderArchive(tmp_path / "not-there"))
    assert await events(pool) == 3


@pytest.mark.usefixtures("recorded")
async def test_whoever_says_so_gets_no_export(pool: Pool) -> None:
    day, *_ = await run(pool, None)
    assert day.rows == 3


async def test_own_ids_go_with_their_day(recorded: Recorded, pool: Pool) -> None:
    await recorded.write(recorded.event("mine", "decision", JANUARY, claim="{}"))
    await recorded.write(recorded.event("other", "decision", NOW, claim="{}"))
    await run(pool, None)
    assert await rows(pool, "SELECT own_id FROM own_ids") == [("other",)]


@pytest.mark.usefixtures("recorded")
async def test_a_tombstone_goes_when_nothing_can_bring_the_unit_back(pool: Pool) -> None:
    for name, age in (("young", timedelta(hours=24)), ("old", timedelta(hours=26))):
        await execute(pool, "INSERT INTO erased_units VALUES (%s, %s)", [name.encode(), NOW - age])
    await run(pool, None)
    assert await rows(pool, "SELECT unit_hash FROM erased_units") == [(b"young",)]


@pytest.mark.usefixtures("recorded")
async def test_of_old_snapshots_the_last_of_each_day_stays(pool: Pool, tmp_path: Path) -> None:
    for hour in range(3):
        await execute(pool, "SELECT take_posterior_snapshot('homepage', %s)", [JANUARY.replace(hour=hour)])
    [retired] = await run(pool, FolderArchive(tmp_path), snapshots=30)
    assert retired.rows == 4, "two arms"
    assert await rows(pool, "SELECT DISTINCT taken_at FROM posterior_snapshots") == [(JANUARY.replace(hour=2),)]


@pytest.mark.usefixtures("recorded")
async def test_old_allocations_with_rewards_stay(pool: Pool, tmp_path: Path) -> None:
    """So does the newest. Rewards that no period has yet are folded with the weights they were drawn with."""
    await execute(
        pool,
        "INSERT INTO allocations SELECT 'homepage', version, '2026-01-10', 1, '{}', '{}', '{}', '{}', 'because'"
        " FROM generate_series(1, 4) AS version",
    )
    await execute(pool, "INSERT INTO arm_totals VALUES ('homepage', 0, 'bandit', '', 2, 0, 1, 1, 1, 1)")
    [retired] = await run(pool, FolderArchive(tmp_path), allocations=30)
    assert retired.rows == 2
    assert await rows(pool, "SELECT weights_version FROM allocations ORDER BY 1") == [(2,), (4,)]


async def test_a_running_service_drops_old_days_and_folds_those_that_are_over(recorded: Recorded, pool: Pool) -> None:
    recent = NOW - timedelta(days=2)
    await recorded.decide(recent)
    await recorded.decide(recent - timedelta(days=1))  # which has no partition
    await execute(pool, "UPDATE producers SET drained_to = %s", [NOW + timedelta(hours=1)])
    await PartitionKeeper(Partitions(pool), clock=recent.timestamp).make_missing()
    agreement = Agreement(pool)
    keeper = RetentionKeeper(
        Partitions(pool), RetentionStore(pool), agreement, days=30, clock=lambda: NOW.timestamp() + 7_200
    )
    with capture_logs() as lines:
        await keeper.keep()
        await keeper.keep()
    dropped = [line["partition"] for line in lines if line["event"] == "events_dropped"]
    assert dropped == [DAY.partition]
    assert await agreement.folded() == Day.of(recent)
    assert await rows(pool, "SELECT day, decisions FROM folded_days") == [(recent.date(), 2)]
    assert await agreement.differences() == []
    await execute(pool, "UPDATE folded_days SET decisions = 7")
    assert await agreement.differences() == [], "what was folded wrong is added up again"
    await execute(pool, "UPDATE arm_totals SET decisions = decisions + 1")
    [difference] = await agreement.differences()
    assert (difference.experiment_id, difference.decisions, difference.rewards) == ("homepage", 1, 0)


def test_nothing_can_be_kept_for_less_than_a_day() -> None:
    with pytest.raises(ValueError, match="events must be kept for at least one day"):
        Retention(events=0)


def test_an_interrupted_export_leaves_no_file(tmp_path: Path) -> None:
    def export() -> None:
        with FolderArchive(tmp_path).file("events") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        export()
    assert files(tmp_path) == []


def test_an_export_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with FolderArchive(tmp_path).file("events") as file:
        file.write(b"whole")
    [written] = files(tmp_path)
    assert written.stat().st_mode & 0o777 == 0o600
    assert gzip.decompress(written.read_bytes()) == b"whole"
