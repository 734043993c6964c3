"""What lies in the stream of a process that has ended meets what was decided about it meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_service.domain.units import hashed_unit
from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.partitions import Day, Partitions
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.retention import RetentionStore, Retired
from bandit_service.ledger.units import UnitsRepository
from bandit_service.operations.erasure import Erased, Erasure
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.operations.retention import Retention, retire
from bandit_service.spool.answers import Queued

from .conftest import Processes
from .gate import Gate
from .process import DECIDED, Process, assert_totals_equal_events, event, events_in, query, until

SALT = b"a salt of 16 b.."
ALICE, BOB = (hashed_unit(name, SALT.hex()) for name in ("alice", "bob"))
TODAY = Day.of(datetime.fromtimestamp(DECIDED / 1_000, UTC))
# When a day of now is older than events are kept.
LATER = datetime.now(UTC) + timedelta(days=40)


@pytest.fixture
async def ended(processes: Processes, postgres_gate: Gate, pool: Pool) -> Process:
    """A process that has ended with two decisions and a reward that Postgres did not get."""
    arms = (ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b"))
    experiment = Experiment(
        id="e", namespace="default", status="running", revision=1, arms=arms, default_arm="a", created_at=0.0
    )
    await ExperimentsRepository(pool).create(experiment, Reason("test", "test", 0.0), unit_salt=SALT)
    await PartitionKeeper(Partitions(pool), clock=TODAY.start.timestamp).make_missing()
    process = await processes.start()
    postgres_gate.cut()
    await until(lambda: not process.recorder.health.beats)
    assert await process.recorder.record([event("a", unit_hash=ALICE, context='{"age": 41}')])
    assert await process.recorder.record([event("b", unit_hash=BOB, context='{"age": 14}')])
    assert await process.recorder.decide([event("a", "reward", unit_hash=ALICE)]) == [Queued()]
    await process.kill()
    postgres_gate.open()
    return process


async def picked_up(processes: Processes, pool: Pool, ended: Process) -> None:
    """Have another process write what was left, and end."""
    other = await processes.start()
    await until(lambda: is_gone(pool, ended))
    await other.kill()


async def is_gone(pool: Pool, process: Process) -> bool:
    return not await query(pool, "SELECT 1 FROM producers WHERE name = %s", process.names[0])


async def retired(pool: Pool) -> Retired:
    """Drop what is too old; return what became of today, which is long ago by then."""
    keeping = retire(Retention(events=30), Partitions(pool), RetentionStore(pool, patience=0.5), None, LATER)
    return next(one for one in [one async for one in keeping] if one.name == TODAY.partition)


async def test_an_erased_unit_does_not_come_back_out_of_a_stream(
    processes: Processes, pool: Pool, ended: Process
) -> None:
    erasure = Erasure(UnitsRepository(pool), patience=20.0, kept_seconds=0.0)
    assert await erasure.erase("default", ["alice"]) == Erased(experiments=1, events=0, exposures=0)
    await picked_up(processes, pool, ended)
    stored = "SELECT decision_id, kind, encode(unit_hash, 'hex'), context ->> 'age' FROM bandit_events ORDER BY 1, 2"
    assert await query(pool, stored) == [
        ("a", "decision", None, None),
        ("a", "reward", None, None),
        ("b", "decision", BOB, "14"),
    ]
    assert await query(pool, "SELECT encode(unit_hash, 'hex') FROM exposures") == [(BOB,)]
    await assert_totals_equal_events(pool)


async def test_a_day_is_not_dropped_while_a_stream_holds_events_of_it(
    processes: Processes, pool: Pool, ended: Process
) -> None:
    stays = await retired(pool)
    assert stays.needed == {"processes that may hold events of that time": ended.names}
    await picked_up(processes, pool, ended)
    assert await events_in(pool) == ["a", "b"]
    # As every process will have said by then.
    await query(pool, "UPDATE producers SET drained_to = %s", LATER)
    assert (await retired(pool)).rows == 3
    assert await events_in(pool) == []
    assert await query(pool, "SELECT decisions, rewards FROM dropped_totals") == [(2, 1)]
    assert await query(pool, "SELECT 1 FROM refused_events") == []
    assert await Agreement(pool).differences() == []


async def test_what_a_stream_holds_of_a_day_that_is_gone_all_the_same_is_kept_apart(
    processes: Processes, pool: Pool, ended: Process
) -> None:
    """As after somebody dropped the day by hand: a stream that nobody has drained for so long is none of the rules'."""
    await query(pool, "UPDATE kept_from SET oldest = 'infinity'")
    await picked_up(processes, pool, ended)
    assert await events_in(pool) == []
    refused = "SELECT event ->> 'decision_id', event ->> 'kind', reason FROM refused_events ORDER BY 1, 2"
    assert await query(pool, refused) == [
        ("a", "decision", "too old"),
        ("a", "reward", "too old"),
        ("b", "decision", "too old"),
    ]
    assert await Agreement(pool).differences() == []
