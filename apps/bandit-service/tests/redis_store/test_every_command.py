"""The life of one experiment asks a store for everything that the service can ask for.

On the floor this proves that the oldest supported server takes every script, every command and every option. A command
that is new in a script fails here until the life below contains it.
"""

import re
import time
from collections.abc import AsyncIterator
from importlib.resources import files

import pytest
from redis.asyncio.client import Monitor

from bandit_service.domain.allocation import AllocationRecord
from bandit_service.domain.event import EventRecord
from bandit_service.events.lane import Lane, Reply
from bandit_service.events.operations import Activate, Decide, Operation, Reward, close_of
from bandit_service.redis_store.api_keys import MirroredApiKeys
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.scripts import script
from bandit_service.redis_store.store import RedisStore
from bandit_service.redis_store.streams import Streams
from bandit_service.redis_store.units import forget_units

ID = "homepage"
KEYS = ExperimentKeys(ID)
ONE = 1_000_000
HOUR_MS = 3_600_000
SCRIPTS = {
    file.name.removesuffix(".lua"): file.read_text()
    for file in files("bandit_service.redis_store.scripts").iterdir()
    if file.name.endswith(".lua")
}


def commands_in(sources: dict[str, str]) -> set[str]:
    return {name for source in sources.values() for name in re.findall(r"redis\.p?call\('(\w+)'", source)}


def allocation() -> AllocationRecord:
    return AllocationRecord(
        version=1,
        epoch=1,
        revision=1,
        belief_version=1,
        seq=1,
        published_at=1.0,
        changed_at=1.0,
        weights={"a": 1.0},
        prob_best={"a": 1.0},
        expected_loss={"a": 0.0},
    )


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[PipelinedConnection]:
    connection = PipelinedConnection(redis_url, timeout=2.0, scripts=("commit", *Streams.SCRIPTS))
    yield connection
    await connection.close()


async def commit(connection: PipelinedConnection, lane: Lane, *operations: Operation) -> tuple[int, ...]:
    lane.queue.extend(operations)
    [answer] = await connection.execute([lane.next_batch(100).command])
    reply = Reply.parse(answer)
    lane.succeed(reply)
    return reply.results


async def refill(store: RedisStore) -> None:
    """Fill the store as after a loss, with something of each kind that a refill brings back."""
    assert await store.define(ID, 1, b"{}", {0: (ONE, ONE)})
    assert not await store.define(ID, 1, b"{}", {})
    assert await store.take_refill(ID, "token", 5.0)
    assert await store.refill_begin(ID, 1)
    kept, living = KEYS.rewarded("kept"), KEYS.rewarded("living")
    values: list[str | int] = ["S", "1|5", "", "S", "1|6", HOUR_MS]
    members: list[str | int] = ["Z", 1, "0|1|long-ago", "U", "cd", "H", "n:0:0", 3]
    assert await store.refill_chunk(ID, 1, [kept, living], [*values, *members])
    assert await store.refill_end(ID, 1, {"seq": 0, "committed": 0, "version": 1, "weights_version": 0})
    await store.end_refill_turn(ID, "token")
    assert [await store.get(kept), await store.get(living)] == ["1|5", "1|6"]
    assert await store.client.pttl(kept) == -1
    assert 0 < await store.client.pttl(living) <= HOUR_MS


async def decide_and_reward(store: RedisStore, connection: PipelinedConnection) -> None:
    """Commit every kind of operation, with everything each of them may carry."""
    lane = Lane(ID, "process-1", marker_life_ms=2 * HOUR_MS, retain_limit=100)
    lane.epoch = 1
    now = round(time.time() * 1_000)
    closed, in_time = now - 1_000, now + HOUR_MS

    def record(name: str, micro: int | None = None) -> EventRecord:
        return EventRecord(name, closed, closed, 0, "bandit", 0.5, micro, 1, unit_hash="ab")

    results = await commit(
        connection,
        lane,
        Decide(record("w"), counter="d:", closes_ms=closed, remembers_unit=True, kept_context=b"[1]", segment=0),
        Reward(record("w", 400_000), mode="z", deadline_ms=in_time, needs_context=True, segment=0),
        Decide(record("own"), counter="hd:", own_record=b"[0]"),
        Reward(record("own", 1), mode="h", deadline_ms=in_time),
        Decide(record("deferred"), counter=""),
        Activate(record("deferred"), counter="d:", deadline_ms=in_time),
        Reward(record("deferred", 500_000), mode="b", deadline_ms=in_time, needs_activation=True, is_gaussian=True),
    )
    assert results == tuple(range(1, 8))
    members = await store.due(ID, now, 10)
    assert len(members) == 2
    closings = [close_of(each, now, segments=("new",), has_context=each.count("|") > 2) for each in members]
    assert await commit(connection, lane, *closings) == (8, 9)


async def write_down(store: RedisStore, connection: PipelinedConnection) -> None:
    """Read the stream and the beliefs over the writer's connection, then trim, as the writer does."""
    streams = Streams(connection)
    assert [number for number, _ in await streams.events(ID, 1, 1, 100)] == list(range(1, 10))
    counts = await streams.beliefs(ID, 1)
    assert counts == await store.beliefs(ID, 1)
    # 0.4 when its window closed, 0 for the one without a reward, 0.5 with 0.25 as its square
    assert (counts.alpha_micro, counts.beta_micro) == ((1_900_000,), (2_850_000,))
    assert (counts.segment_rewards, counts.segment_micro) == ({(0, 0): 4}, {(0, 0): 400_000})
    await streams.still_there()
    await streams.trim(ID, 1, 8)
    assert [number for number, _ in await store.events(ID, 1, 1, 100)] == [9]
    assert (await streams.heads([ID]))[ID] == await store.head(ID)


async def publish(store: RedisStore) -> None:
    assert await store.vacant([ID]) == [ID]
    assert await store.lease([ID], "token", 5.0) == [True]
    published = await store.publish(
        ID, token="token", read_version=0, record=allocation(), explanation=b"{}", linear=b"[]"
    )
    assert published
    assert (await store.served(ID)).linear == "[]"
    assert (await store.allocation_and_explanation(ID))[1] == "{}"
    await store.release([ID], "token")
    assert await store.vacant([ID]) == [ID]


async def keep_house(store: RedisStore) -> None:
    await store.ping()
    assert await store.experiment_ids() == [ID]
    await store.forget_producers(ID, round(time.time() * 1_000) + HOUR_MS)
    assert await store.client.exists(KEYS.producers) == 0
    assert await forget_units(store, ID, ["ab", "cd", "unknown"]) == 2
    mirror = MirroredApiKeys(store)
    assert await mirror.load() is None
    await mirror.replace([])
    assert await mirror.load() == []


async def overheard(monitor: Monitor, last: str) -> tuple[set[str], set[str]]:
    """Return the SHAs of the scripts that ran until the command `last`, and the commands that ran inside them."""
    shas, commands = set(), set()
    while (heard := await monitor.next_command())["command"] != last:
        words = heard["command"].split(" ", 2)
        if heard["client_type"] == "lua":
            commands.add(words[0].upper())
        elif words[0].upper() == "EVALSHA":
            shas.add(words[1])
    return shas, commands


async def test_the_life_of_an_experiment_runs_every_script_and_every_command_in_them(
    store: RedisStore, connection: PipelinedConnection
) -> None:
    await connection.open()
    async with store.client.monitor() as monitor:
        await refill(store)
        await decide_and_reward(store, connection)
        await write_down(store, connection)
        await publish(store)
        await keep_house(store)
        await store.client.echo("end")
        shas, commands = await overheard(monitor, "ECHO end")
    assert {name for name in SCRIPTS if script(name).sha not in shas} == set()
    assert commands_in(SCRIPTS) - commands == set()
