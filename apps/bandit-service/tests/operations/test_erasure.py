"""An erased unit is nowhere any more, and every sum is what it was."""

import asyncio

import psycopg
import pytest

from bandit_service.domain.units import hashed_unit
from bandit_service.ledger.agreement import Agreement
from bandit_service.ledger.maintenance import StillRunningError
from bandit_service.ledger.partitions import Partitions
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.units import UnitsRepository
from bandit_service.operations.erasure import Erased, Erasure
from bandit_service.operations.partitions import PartitionKeeper

from .conftest import MICRO, NewRecorded, Recorded, execute, rows, salt, scalar
from .test_partitions import NOVEMBER

ALICE, BOB = (hashed_unit(name, salt("default").hex()) for name in ("alice", "bob"))


@pytest.fixture
def erasure(pool: Pool) -> Erasure:
    return Erasure(UnitsRepository(pool), patience=20.0, kept_seconds=0.0)


@pytest.fixture
async def recorded(new_recorded: NewRecorded) -> Recorded:
    recorded = new_recorded()
    await recorded.create()
    return recorded


async def units(pool: Pool) -> list[str | None]:
    query = "SELECT encode(unit_hash, 'hex') FROM bandit_events ORDER BY batch, ord"
    return [name for (name,) in await rows(pool, query)]


async def exposed(pool: Pool) -> list[str]:
    return [name for (name,) in await rows(pool, "SELECT encode(unit_hash, 'hex') FROM exposures")]


async def test_events_lose_the_unit_and_its_context_and_the_sums_stay(
    erasure: Erasure, recorded: Recorded, pool: Pool
) -> None:
    await recorded.decide(NOVEMBER, unit_hash=ALICE, context='{"age": 41}')
    await PartitionKeeper(Partitions(pool), clock=NOVEMBER.timestamp).make_missing()
    await recorded.decide(NOVEMBER, unit_hash=BOB, context='{"age": 14}')
    await recorded.reward("d0", NOVEMBER, MICRO)
    assert await erasure.erase("default", ["alice"]) == Erased(experiments=1, events=1, exposures=1)
    assert await units(pool) == [None, BOB, None]
    assert await rows(pool, "SELECT context FROM bandit_events WHERE context IS NOT NULL") == [({"age": 14},)]
    assert await rows(pool, "SELECT sum(decisions), sum(rewards) FROM arm_totals") == [(2, 1)]
    assert await Agreement(pool).differences() == []


async def test_exposures_stay_as_many_under_names_that_lead_nowhere(
    erasure: Erasure, recorded: Recorded, pool: Pool
) -> None:
    await recorded.decide(NOVEMBER, unit_hash=ALICE)
    await recorded.decide(NOVEMBER, unit_hash=BOB)
    assert (await erasure.erase("default", ["alice", "carol"])).exposures == 1
    names = await exposed(pool)
    assert len(names) == 2
    assert BOB in names
    assert ALICE not in names
    assert {len(name) for name in names} == {32}


async def test_a_batch_that_comes_later_loses_the_unit(erasure: Erasure, recorded: Recorded, pool: Pool) -> None:
    """As one does that waited in the stream of a process that died."""
    await erasure.erase("default", ["alice"])
    await recorded.decide(NOVEMBER, unit_hash=ALICE, context='{"age": 41}')
    await recorded.decide(NOVEMBER, unit_hash=BOB)
    assert await units(pool) == [None, BOB]
    assert await exposed(pool) == [BOB]
    assert await scalar(pool, "SELECT count(*) FROM bandit_events WHERE context IS NOT NULL") == 0


async def test_a_batch_that_began_before_and_commits_after_the_sweep_loses_it_too(
    erasure: Erasure, recorded: Recorded, pool: Pool, postgres_dsn: str
) -> None:
    await recorded.decide(NOVEMBER, unit_hash=BOB)
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as batch:
        await batch.execute(
            "INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, batch, ord,"
            " arm_index, stratum, counted, unit_hash) SELECT experiment_id, 'slow', kind, decision_time, event_time, 9,"
            " 0, arm_index, stratum, false, %s FROM bandit_events",
            [bytes.fromhex(ALICE)],
        )
        erasing = asyncio.create_task(erasure.erase("default", ["alice"]))
        await asyncio.sleep(0.5)
        assert not erasing.done()
        await batch.commit()
        assert (await erasing).events == 1
    assert await units(pool) == [BOB, None]


@pytest.mark.usefixtures("recorded")
async def test_a_transaction_that_does_not_end_is_not_waited_for_without_end(pool: Pool, postgres_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as batch:
        await batch.execute("UPDATE namespaces SET created_at = created_at")
        with pytest.raises(StillRunningError):
            await Erasure(UnitsRepository(pool), patience=0.3).erase("default", ["alice"])


async def test_refused_events_lose_the_unit(erasure: Erasure, recorded: Recorded, pool: Pool) -> None:
    await execute(pool, "UPDATE kept_from SET oldest = 'infinity'")
    await recorded.decide(NOVEMBER, unit_hash=ALICE, context='{"age": 41}')
    await recorded.decide(NOVEMBER, unit_hash=BOB)
    await erasure.erase("default", ["alice"])
    await recorded.decide(NOVEMBER, unit_hash=ALICE)
    query = "SELECT event ->> 'unit_hash', event ->> 'context' FROM refused_events ORDER BY id"
    assert await rows(pool, query) == [(None, None), (BOB, None), (None, None)]


@pytest.mark.usefixtures("recorded")
async def test_the_same_id_in_another_namespace_is_somebody_else(
    erasure: Erasure, new_recorded: NewRecorded, pool: Pool
) -> None:
    shop, name = new_recorded("shop.checkout"), hashed_unit("alice", salt("shop").hex())
    await shop.create()
    await shop.decide(NOVEMBER, unit_hash=name)
    assert (await erasure.erase("default", ["alice"])).events == 0
    assert await units(pool) == [name]


async def test_erasing_twice_finds_nothing_the_second_time(erasure: Erasure, recorded: Recorded) -> None:
    await recorded.decide(NOVEMBER, 3, unit_hash=ALICE)
    assert (await erasure.erase("default", ["alice"])).events == 3
    assert (await erasure.erase("default", ["alice"])).events == 0


async def test_a_failover_meanwhile_has_it_done_again(pool: Pool, recorded: Recorded) -> None:
    class Promoted(UnitsRepository):
        """A standby is promoted when the first sweep is over."""

        timelines = iter(("00000001", "00000002", "00000002"))

        async def timeline(self) -> str:
            return next(self.timelines)

        async def outlive(self, transaction_id: int, *, patience: float) -> None:  # noqa: ARG002
            await execute(pool, "UPDATE bandit_events SET unit_hash = %s", [bytes.fromhex(ALICE)])

    await recorded.decide(NOVEMBER, unit_hash=ALICE)
    erased = await Erasure(Promoted(pool), kept_seconds=0.0).erase("default", ["alice"])
    assert erased.events == 3, "found by the first sweep, the second, and the second of the other round"
    assert await units(pool) == [None]


async def test_a_namespace_nobody_knows_is_an_error(erasure: Erasure) -> None:
    with pytest.raises(ValueError, match="there is no namespace 'shop'"):
        await erasure.erase("shop", ["alice"])
