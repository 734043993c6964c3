"""An erased unit is nowhere any more, and nothing is believed differently for it."""

import pytest
import redis

from bandit_service.domain.units import hashed_unit
from bandit_service.ledger.events import EventLog
from bandit_service.ledger.pool import Pool, connected
from bandit_service.ledger.units import UnitsRepository
from bandit_service.operations.erasure import Erased, Erasure, NotDrainedError
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore

from .conftest import MICRO, SALT, NewStream
from .test_partitions import NOVEMBER

ALICE, BOB = (hashed_unit(name, SALT.hex()) for name in ("alice", "bob"))


@pytest.fixture
def erasure(pool: Pool, store: RedisStore) -> Erasure:
    return Erasure(UnitsRepository(pool), store, patience=0.5)


async def units(pool: Pool) -> list[str | None]:
    async with connected(pool) as connection:
        cursor = await connection.execute("SELECT encode(unit_hash, 'hex') FROM bandit_events ORDER BY seq")
        return [name for (name,) in await cursor.fetchall()]


async def test_events_lose_the_unit_and_the_fold_stays(erasure: Erasure, new_stream: NewStream, pool: Pool) -> None:
    stream = new_stream()
    await stream.create()
    await stream.decide(NOVEMBER, unit=ALICE)
    await stream.decide(NOVEMBER, unit=BOB)
    await stream.write(stream.event("d0", "reward", NOVEMBER, micro=MICRO))
    log = EventLog(pool)
    before = await log.fold("homepage", await log.last_snapshot("homepage", {}))
    assert await erasure.erase("default", ["alice"]) == Erased(experiments=1, events=1, exposures=0)
    assert await units(pool) == [None, BOB, None]
    assert await log.fold("homepage", await log.last_snapshot("homepage", {})) == before
    assert before[0].decisions == 2


async def test_the_unit_is_taken_out_of_what_sticky_experiments_remember(
    erasure: Erasure, new_stream: NewStream, pool: Pool, redis_url: str
) -> None:
    await new_stream(assignment="sticky").create()
    key = ExperimentKeys("homepage").units
    async with connected(pool) as connection:
        await connection.execute("INSERT INTO exposed_units VALUES ('homepage', %s)", [bytes.fromhex(ALICE)])
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.sadd(key, ALICE, BOB)
        erased = await erasure.erase("default", ["alice", "carol"])
        assert client.smembers(key) == {BOB}
    assert erased.exposures == 1
    assert [name async for page in EventLog(pool).exposed_units("homepage") for name in page] == []


async def test_the_same_id_in_another_namespace_is_somebody_else(
    erasure: Erasure, new_stream: NewStream, pool: Pool
) -> None:
    await new_stream().create()
    shop = new_stream("shop.checkout")
    await shop.create()
    await shop.decide(NOVEMBER, unit=ALICE)
    assert (await erasure.erase("default", ["alice"])).events == 0
    assert await units(pool) == [ALICE]


async def test_erasing_twice_finds_nothing_the_second_time(erasure: Erasure, new_stream: NewStream) -> None:
    stream = new_stream()
    await stream.create()
    await stream.decide(NOVEMBER, 3, unit=ALICE)
    assert (await erasure.erase("default", ["alice"])).events == 3
    assert (await erasure.erase("default", ["alice"])).events == 0


async def test_while_events_are_on_their_way_it_waits_and_then_says_to_come_again(
    erasure: Erasure, new_stream: NewStream, pool: Pool, redis_url: str
) -> None:
    stream = new_stream()
    await stream.create()
    await stream.decide(NOVEMBER, unit=ALICE)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(ExperimentKeys("homepage").state, mapping={"epoch": 1, "seq": 2, "committed": 1})
        with pytest.raises(NotDrainedError, match="again once bandit_stream_lag_seconds is low"):
            await erasure.erase("default", ["alice"])
        assert await units(pool) == [ALICE]
        client.hset(ExperimentKeys("homepage").state, "committed", 2)
    assert (await erasure.erase("default", ["alice"])).events == 1


async def test_a_namespace_nobody_knows_is_an_error(erasure: Erasure) -> None:
    with pytest.raises(ValueError, match="there is no namespace 'shop'"):
        await erasure.erase("shop", ["alice"])
