"""The simulated Redis does what a real one does: the same calls, the same answers, the same contents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import NoScriptError, ResponseError

from bandit_service.domain.event import Batch, Event
from bandit_service.domain.totals import Totals
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.errors import StoreUnavailableError
from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import Claim, OwnIds
from bandit_service.mirror.publication import Mirror
from bandit_service.mirror.scripts import script
from bandit_service.mirror.subscription import Announcer, Subscription
from bandit_service.spool.stream import STREAMS, SpoolUnavailableError, StreamLostError, Streams, stream_key, taken_key

from .experiments import definition
from .network import NetworkLink
from .redis.client import SimulatedClient
from .redis.server import SimulatedRedis

NOWHERE = "redis://nowhere"


class StraightLink(NetworkLink):
    """A link on which everything arrives at once, unless it is cut."""

    def __init__(self) -> None:
        super().__init__(Random(1), longest=0.01)

    async def _delay(self) -> None:
        return


def simulated(server: SimulatedRedis | None = None, link: NetworkLink | None = None) -> SimulatedClient:
    return SimulatedClient(server or SimulatedRedis(time.time), link or StraightLink(), timeout=0.2)


@pytest.fixture(params=["real", "simulated"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of an empty server: a real one, or a simulated one."""
    if request.param == "simulated":
        yield simulated().as_redis()
        return
    real = make_redis(request.getfixturevalue("redis_url"), timeout=2.0)
    await real.script_flush()
    yield real
    await real.aclose()


@pytest.fixture
def streams(client: redis.asyncio.Redis) -> Streams:
    made = Streams(NOWHERE, timeout=1.0)
    made._redis = client
    return made


def batch(number: int, events: int = 1) -> Batch:
    made = Event("plain", "d1", "decision", 1_800_000_000_000, 1_800_000_000_000, 0, "bandit", counted=True)
    return Batch(number, (made,) * events)


async def test_a_stream_takes_batches_once_it_was_begun(streams: Streams) -> None:
    with pytest.raises(StreamLostError):
        await streams.append("a", batch(1))
    await streams.create("a")
    first, second = await streams.append("a", batch(1)), await streams.append("a", batch(2))
    assert _place(first) < _place(second)
    assert await streams.names() == ["a"]
    await streams.probe("a")
    with pytest.raises(StreamLostError):
        await streams.probe("b")


async def test_a_stream_that_was_taken_takes_nothing_more(streams: Streams) -> None:
    await streams.create("a")
    for number in range(250):
        await streams.append("a", batch(number))
    await streams.take("a")
    await streams.take("a")
    with pytest.raises(StreamLostError):
        await streams.append("a", batch(9))
    found = [each async for page in streams.taken("a") for each in page]
    assert [each.number for each in found if isinstance(each, Batch)] == list(range(250))
    assert await streams.forget_taken("a")
    assert await streams.names() == []


async def test_a_stream_that_was_begun_again_is_not_forgotten(streams: Streams) -> None:
    await streams.create("a")
    await streams.take("a")
    await streams.create("a")
    await streams.take("a")
    assert not await streams.forget_taken("a")
    assert await streams.names() == ["a"]
    await streams.forget("a")
    assert await streams.names() == []


async def test_a_stream_is_trimmed_up_to_an_entry(streams: Streams, client: redis.asyncio.Redis) -> None:
    await streams.create("a")
    entries = [await streams.append("a", batch(number)) for number in range(5)]
    await streams.trim("a", entries[3])
    await streams.trim("b", entries[3])
    left: Any = await client.xrange(stream_key("a"))
    assert [entry.decode() for entry, _ in left] == entries[3:]


async def test_who_claims_an_id_first_has_it(client: redis.asyncio.Redis) -> None:
    claims = OwnIds(client)
    one, other = Claim("experiment:{plain}:own:1", b"one"), Claim("experiment:{zero}:own:1", b"other")
    assert await claims.claim([one, other], seconds=60.0) == [b"one", b"other"]
    assert await claims.claim([Claim(one.key, b"later")], seconds=60.0) == [b"one"]
    assert await claims.read([one.key, "experiment:{plain}:own:2"]) == [b"one", None]
    await claims.overwrite([Claim(one.key, b"winner")], seconds=60.0)
    assert await claims.read([one.key]) == [b"winner"]


async def test_a_claim_runs_out(client: redis.asyncio.Redis) -> None:
    claims = OwnIds(client)
    claim = Claim("experiment:{plain}:own:1", b"one")
    await claims.claim([claim], seconds=0.05)
    await asyncio.sleep(0.1)
    assert await claims.read([claim.key]) == [None]
    assert await claims.claim([Claim(claim.key, b"later")], seconds=60.0) == [b"later"]


async def test_what_is_older_never_overwrites_what_is_newer(client: redis.asyncio.Redis) -> None:
    mirror, experiment = Mirror(client, "p"), definition("plain", 1.0)
    await mirror.define([experiment])
    assert await mirror.sums(experiment) == dict.fromkeys(range(3), (1_000_000, 1_000_000))
    newer = Totals(rewards={0: 2}, reward_micro={0: 500_000}, as_of=20.0)
    older = Totals(rewards={0: 1}, reward_micro={0: 400_000}, as_of=30.0)
    await mirror.totals([(2, experiment, newer)])
    await mirror.totals([(1, experiment, older), (2, experiment, Totals(as_of=10.0))])
    assert await mirror.beliefs("plain") == newer
    assert (await mirror.sums(experiment))[0] == (1_500_000, 2_500_000)
    [mirrored] = await mirror.served(["plain"])
    assert mirrored.experiment == experiment
    assert mirrored.allocation is None
    assert await mirror.experiment_ids() == ["plain"]
    assert await mirror.has_kept_all()
    await client.delete("bandit:mirror:p")
    assert not await mirror.has_kept_all()


async def test_a_definition_is_written_anew(client: redis.asyncio.Redis) -> None:
    mirror, experiment = Mirror(client), definition("plain", 1.0)
    await mirror.define([definition("plain", 2.0)])
    await client.hset(ExperimentKeys("plain").written, "definition", "0 9")
    await mirror.define([experiment])
    [before] = await mirror.served(["plain"])
    await mirror.define([experiment], anew=True)
    [after] = await mirror.served(["plain"])
    assert (before.experiment, after.experiment) == (definition("plain", 2.0), experiment)


async def test_a_server_does_not_know_a_script_that_it_has_not_been_given(client: Any) -> None:
    sha, key = script("write").sha, "experiment:{plain}:written"
    with pytest.raises(NoScriptError):
        await client.execute_command("EVALSHA", sha, 2, key, "experiment:{plain}:x", "totals", 1, 1, b"x")
    assert await client.script_load(script("write").source) in (sha, sha.encode())
    assert await client.execute_command("EVALSHA", sha, 2, key, "experiment:{plain}:x", "totals", 1, 1, b"x") == 1
    assert await client.execute_command("EVALSHA", sha, 2, key, "experiment:{plain}:x", "totals", 0, 9, b"y") == 0
    assert await client.get("experiment:{plain}:x") == b"x"


async def test_messages_reach_those_who_listen(client: redis.asyncio.Redis) -> None:
    subscription, heard = Subscription(NOWHERE, timeout=1.0), asyncio.Queue[tuple[str, list[str]]]()
    subscription._redis = client

    async def on_changed(names: list[str]) -> None:
        heard.put_nowait(("changed", names))

    async def on_touched(names: list[str]) -> None:
        heard.put_nowait(("touched", names))

    listening = asyncio.create_task(subscription.run(on_changed, on_touched))
    async with asyncio.timeout(5.0):
        while not subscription.is_listening:
            await asyncio.sleep(0.01)
        await Announcer(client).announce_touched(["plain"])
        await Announcer(client).announce_changed(["zero"])
        assert [await heard.get(), await heard.get()] == [("touched", ["plain"]), ("changed", ["zero"])]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_wrong_types_and_missing_keys_are_refused_alike(client: redis.asyncio.Redis) -> None:
    await client.set("text", b"x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await client.xadd("text", {b"b": b""})
    with pytest.raises(ResponseError, match="no such key"):
        await client.renamenx("{x}nothing", "{x}something")


@pytest.mark.parametrize("seed", range(5))
async def test_random_commands_have_the_same_answers(redis_url: str, seed: int) -> None:
    rng = Random(seed)
    real, model = make_redis(redis_url, timeout=2.0), simulated().as_redis()
    for _ in range(400):
        name, arguments, options = _command(rng)
        answers = [await _answer(getattr(each, name), arguments, options) for each in (real, model)]
        if name == "xadd" and None not in answers:
            answers = ["an entry", "an entry"]
        if name == "xrange":
            answers = [_without_ids(each) for each in answers]
        assert answers[0] == answers[1], (name, arguments, options)
    await real.aclose()


async def test_a_cluster_refuses_keys_of_two_slots() -> None:
    client = simulated().as_redis()
    await client.set(stream_key("a"), b"")
    assert await client.renamenx(stream_key("a"), taken_key("a"))
    with pytest.raises(ResponseError, match="CROSSSLOT"):
        await client.mget("experiment:{plain}:weights", "experiment:{zero}:weights")
    with pytest.raises(ResponseError, match="CROSSSLOT"):
        await client.delete(STREAMS, stream_key("a"))


async def test_a_frozen_server_does_later_what_its_client_has_given_up() -> None:
    server = SimulatedRedis(time.time)
    streams = Streams(NOWHERE, timeout=1.0)
    streams._redis = simulated(server).as_redis()
    await streams.create("a")
    server.freeze()
    with pytest.raises(SpoolUnavailableError):
        await streams.append("a", batch(1))
    server.thaw()
    await streams.take("a")
    assert [each async for page in streams.taken("a") for each in page] == [batch(1)]


async def test_what_a_server_loses() -> None:
    server = SimulatedRedis(time.time)
    client = simulated(server).as_redis()
    await client.set("a", b"1")
    server.save()
    await client.set("b", b"2")
    server.fail_over()
    assert (await client.get("a"), await client.get("b")) == (b"1", None)
    server.empty()
    assert await client.get("a") is None
    server.kill()
    with pytest.raises(StoreUnavailableError):
        await Mirror(client).experiment_ids()
    server.start()
    assert await Mirror(client).experiment_ids() == []


async def test_what_a_cut_link_carries() -> None:
    server, link = SimulatedRedis(time.time), StraightLink()
    client, other = simulated(server, link).as_redis(), simulated(server).as_redis()
    link.lost_answers = 1.0
    with pytest.raises(StoreUnavailableError):
        await OwnIds(client).claim([Claim("a", b"1")], seconds=60.0)
    assert await other.get("a") == b"1"
    link.heal()
    link.is_cut = True
    with pytest.raises(StoreUnavailableError):
        await OwnIds(client).overwrite([Claim("a", b"2")], seconds=60.0)
    assert await other.get("a") == b"1"


def _command(rng: Random) -> tuple[str, list[Any], dict[str, Any]]:
    key = f"{{key-{rng.randrange(3)}}}"
    text, members, hashed, stream = f"{key}:text", f"{key}:set", f"{key}:hash", f"{key}:stream"
    value = str(rng.randrange(4))
    choices: list[Callable[[], tuple[str, list[Any], dict[str, Any]]]] = [
        lambda: ("set", [text, value], {"nx": rng.random() < 0.5}),
        lambda: ("set", [text, value], {"px": 60_000}),
        lambda: ("get", [rng.choice([text, members])], {}),
        lambda: ("mget", [text, members, f"{key}:none"], {}),
        lambda: ("sadd", [members, value, "x"], {}),
        lambda: ("srem", [members, value], {}),
        lambda: ("smembers", [members], {}),
        lambda: ("hset", [hashed, value, value], {}),
        lambda: ("hset", [hashed], {"mapping": {"f": value, "g": "1"}}),
        lambda: ("hdel", [hashed, value], {}),
        lambda: ("hget", [rng.choice([hashed, text]), value], {}),
        lambda: ("hgetall", [hashed], {}),
        lambda: ("xadd", [stream, {"b": value}], {"nomkstream": rng.random() < 0.5}),
        lambda: ("xadd", [stream, {"b": value}], {"maxlen": 3, "approximate": False}),
        lambda: ("xrange", [stream], {"count": 5}),
        lambda: ("delete", [text, members], {}),
        lambda: ("delete", [stream], {}),
        lambda: ("exists", [text, stream], {}),
        lambda: ("expire", [text, 60], {}),
        lambda: ("incr", [text], {}),
        lambda: ("renamenx", [stream, f"{key}:taken"], {}),
        lambda: ("renamenx", [text, f"{key}:taken"], {}),
        lambda: ("publish", [key, value], {}),
    ]
    return rng.choice(choices)()


async def _answer(send: Callable[..., Any], arguments: list[Any], options: dict[str, Any]) -> Any:
    try:
        found = await send(*arguments, **options)
    except ResponseError as error:
        return str(error).partition(" ")[0]
    return sorted(found) if isinstance(found, set | list) and all(isinstance(each, bytes) for each in found) else found


def _without_ids(answer: Any) -> Any:
    return [fields for _, fields in answer] if isinstance(answer, list) else answer


def _place(entry: str) -> tuple[int, ...]:
    return tuple(int(part) for part in entry.split("-"))
