"""Old events leave Postgres exported and only when the beliefs can be rebuilt without them, to the same numbers."""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, LiteralString

import psycopg
import pytest

from bandit_service.ledger.events import EventLog, SnapshotRow
from bandit_service.ledger.partitions import Month, Partitions
from bandit_service.ledger.pool import Pool, connected
from bandit_service.ledger.retention import Archive, RetentionStore, Retired
from bandit_service.operations.archive import FolderArchive, NoArchive
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.operations.retention import Retention, retire

from .conftest import MICRO, NewStream, Stream

JANUARY = datetime(2026, 1, 10, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 20, tzinfo=UTC)
UNIT = "aa" * 16


@pytest.fixture
async def stream(new_stream: NewStream, pool: Pool) -> Stream:
    """An experiment with a month of its own, and two decisions of one unit and a reward in it."""
    stream = new_stream()
    await stream.create()
    await PartitionKeeper(Partitions(pool), clock=JANUARY.timestamp).make_missing()
    await stream.decide(JANUARY, 2, unit=UNIT)
    await stream.write(stream.event("d0", "reward", JANUARY, micro=MICRO))
    return stream


async def snapshot(pool: Pool, stream: Stream) -> None:
    """Store the fold of everything written so far, as the service does every minute."""
    log = EventLog(pool)
    priors = {0: (MICRO, MICRO), 1: (MICRO, MICRO)}
    totals = await log.fold(stream.experiment.id, await log.last_snapshot(stream.experiment.id, priors))
    rows = [
        SnapshotRow(
            experiment_id=stream.experiment.id,
            epoch=stream.epoch,
            seq=stream.seq,
            arm_index=index,
            arm=stream.experiment.arms[index].id,
            taken_at=JANUARY.timestamp() + stream.seq,
            alpha_micro=MICRO + arm.reward_micro,
            beta_micro=MICRO + arm.rewards * MICRO - arm.reward_micro,
            decisions=arm.decisions,
            rewards=arm.rewards,
        )
        for index, arm in totals.items()
    ]
    await log.save_snapshot(rows)


async def run(pool: Pool, archive: Archive, *, now: datetime = NOW, **days: int) -> list[Retired]:
    retention = Retention(**(days or {"events": 90}))
    return [one async for one in retire(retention, Partitions(pool), RetentionStore(pool), archive, now)]


def exported(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(gzip.decompress(file.read_bytes()).decode().splitlines()))


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def scalar(pool: Pool, query: LiteralString) -> object:
    async with connected(pool) as connection:
        [value] = await (await connection.execute(query)).fetchone() or [None]
        return value


async def test_an_old_month_is_exported_and_gone_and_the_fold_is_the_same(
    stream: Stream, pool: Pool, tmp_path: Path
) -> None:
    await snapshot(pool, stream)
    log, priors = EventLog(pool), {0: (MICRO, MICRO)}
    before = await log.fold("homepage", await log.last_snapshot("homepage", priors))
    month, *_, default = await run(pool, FolderArchive(tmp_path))
    assert (month.name, month.rows, dict(month.needed)) == ("bandit_events_2026_01", 3, {})
    assert default.rows == 0
    assert await scalar(pool, "SELECT count(*) FROM bandit_events") == 0
    assert Month(2026, 1) not in await Partitions(pool).months()
    rows = exported(tmp_path / "bandit_events_2026_01.csv.gz")
    assert [row["kind"] for row in rows] == ["decision", "decision", "reward"]
    assert rows[0]["propensity"] == "0.5"
    assert await log.fold("homepage", await log.last_snapshot("homepage", priors)) == before
    assert before[0].reward_micro == MICRO


async def test_an_export_names_units_by_names_that_lead_nowhere(stream: Stream, pool: Pool, tmp_path: Path) -> None:
    await snapshot(pool, stream)
    await run(pool, FolderArchive(tmp_path))
    first, second, reward = exported(tmp_path / "bandit_events_2026_01.csv.gz")
    assert first["unit"] == second["unit"] != ""
    assert reward["unit"] == ""
    assert UNIT not in str([first, second, reward])


async def test_events_that_no_snapshot_holds_stay(stream: Stream, pool: Pool, tmp_path: Path) -> None:
    await snapshot(pool, stream)
    await stream.write(stream.event("d1", "reward", JANUARY, micro=0))
    month, *_ = await run(pool, FolderArchive(tmp_path))
    assert month.needed == {"events that no snapshot holds yet": ["homepage"]}
    assert await scalar(pool, "SELECT count(*) FROM bandit_events") == 4
    assert files(tmp_path) == []


async def test_a_decision_whose_window_was_not_closed_stays_until_it_is(
    new_stream: NewStream, pool: Pool, tmp_path: Path
) -> None:
    stream = new_stream(missing_reward="zero")
    await stream.create()
    await PartitionKeeper(Partitions(pool), clock=JANUARY.timestamp).make_missing()
    await stream.decide(JANUARY)
    await snapshot(pool, stream)
    month, *_ = await run(pool, FolderArchive(tmp_path))
    assert month.needed == {"decisions whose window has not been closed": ["homepage"]}
    assert [window.decision_id for window in await EventLog(pool).open_windows("homepage")] == ["d0"]
    await stream.write(stream.event("d0", "close", JANUARY, micro=0))
    await snapshot(pool, stream)
    month, *_ = await run(pool, FolderArchive(tmp_path))
    assert (month.rows, dict(month.needed)) == (2, {})


async def test_a_month_stays_while_rewards_for_it_are_taken_or_recognised_as_repeated(
    new_stream: NewStream, pool: Pool, tmp_path: Path
) -> None:
    stream = new_stream(reward_window=30 * 86_400.0)
    await stream.create()
    await PartitionKeeper(Partitions(pool), clock=JANUARY.timestamp).make_missing()
    await stream.decide(JANUARY)
    await snapshot(pool, stream)
    closes = Month.of(JANUARY).end + timedelta(days=30, hours=1)
    early, *_ = await run(pool, FolderArchive(tmp_path), now=closes - timedelta(minutes=1), events=1)
    assert early.needed == {"a reward window that is hardly over": ["homepage"]}
    later, *_ = await run(pool, FolderArchive(tmp_path), now=closes + timedelta(minutes=1), events=1)
    assert later.rows == 1


async def test_a_sticky_experiment_remembers_its_units_without_their_events(
    new_stream: NewStream, pool: Pool, tmp_path: Path
) -> None:
    stream = new_stream(assignment="sticky")
    await stream.create()
    await PartitionKeeper(Partitions(pool), clock=JANUARY.timestamp).make_missing()
    await stream.decide(JANUARY, unit=UNIT)
    await snapshot(pool, stream)
    month, *_ = await run(pool, FolderArchive(tmp_path))
    assert month.rows == 1
    assert [name async for page in EventLog(pool).exposed_units("homepage") for name in page] == [UNIT]


async def test_old_events_of_the_default_partition_are_exported_and_deleted(
    new_stream: NewStream, pool: Pool, tmp_path: Path
) -> None:
    stream = new_stream()
    await stream.create()
    await stream.decide(JANUARY, 3)
    await stream.decide(NOW - timedelta(days=2), 2)
    await snapshot(pool, stream)
    [default] = await run(pool, FolderArchive(tmp_path))
    assert (default.name, default.rows) == ("bandit_events_default", 3)
    [file] = files(tmp_path)
    assert len(exported(file)) == 3
    assert await scalar(pool, "SELECT count(*) FROM bandit_events") == 2


class BusyFolder(FolderArchive):
    """An event of the month is written just when the month's export is complete."""

    def __init__(self, folder: Path, dsn: str) -> None:
        super().__init__(folder)
        self._dsn = dsn

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        with super().file(name) as file:
            yield file
        with psycopg.connect(self._dsn) as connection:
            connection.execute(
                "INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, epoch, seq,"
                " arm_index, stratum) VALUES ('homepage', 'd1', 'late', %(at)s, %(at)s, 0, 4, 0, 'bandit')",
                {"at": JANUARY},
            )


async def test_an_event_that_comes_during_the_export_is_not_lost(
    stream: Stream, pool: Pool, postgres_dsn: str, tmp_path: Path
) -> None:
    await snapshot(pool, stream)
    month, *_ = await run(pool, BusyFolder(tmp_path, postgres_dsn))
    assert list(month.needed) == ["events that came while it was exported; run it again"]
    assert await scalar(pool, "SELECT count(*) FROM bandit_events") == 4


async def test_a_folder_that_cannot_be_written_costs_nothing(stream: Stream, pool: Pool, tmp_path: Path) -> None:
    await snapshot(pool, stream)
    with pytest.raises(OSError, match="not-there"):
        await run(pool, FolderArchive(tmp_path / "not-there"))
    assert await scalar(pool, "SELECT count(*) FROM bandit_events") == 3


async def test_whoever_says_so_gets_no_export(stream: Stream, pool: Pool) -> None:
    await snapshot(pool, stream)
    month, *_ = await run(pool, NoArchive())
    assert month.rows == 3


async def test_of_old_snapshots_the_last_of_each_day_stays(stream: Stream, pool: Pool, tmp_path: Path) -> None:
    for _ in range(3):
        await stream.write(stream.event(f"d{stream.seq}", "reward", JANUARY, micro=MICRO))
        await snapshot(pool, stream)
    [retired] = await run(pool, FolderArchive(tmp_path), snapshots=30)
    assert retired.rows == 2
    assert await scalar(pool, "SELECT max(seq) FROM posterior_snapshots") == stream.seq
    assert await scalar(pool, "SELECT count(*) FROM posterior_snapshots") == 1


@pytest.mark.usefixtures("stream")
async def test_of_old_allocations_the_newest_stays(pool: Pool, tmp_path: Path) -> None:
    async with connected(pool) as connection:
        await connection.execute(
            "INSERT INTO allocations SELECT 'homepage', version, '2026-01-10', 1, '{}', '{}', '{}', '{}', 'because'"
            " FROM generate_series(1, 3) AS version"
        )
    [retired] = await run(pool, FolderArchive(tmp_path), allocations=30)
    assert retired.rows == 2
    assert await scalar(pool, "SELECT weights_version FROM allocations") == 3


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
