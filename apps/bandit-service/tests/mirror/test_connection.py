"""Callers are told a store that is full from one that is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_local.testing.cancellation import Moment, cancelled_at_each_wait
from bandit_service.domain.totals import Totals
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.errors import StoreFullError, StoreUnavailableError
from bandit_service.mirror.publication import Mirror

EXPERIMENT = Experiment("homepage", "default", "running", 1, (ArmDefinition(0, "a"),), "a", 0.0)


async def test_a_full_store_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        client = make_redis(server.url, timeout=2.0)
        mirror = Mirror(client)
        await mirror.define([EXPERIMENT])
        await client.config_set("maxmemory", "1")
        with pytest.raises(StoreFullError):
            await mirror.define([EXPERIMENT])
        with pytest.raises(StoreFullError):
            await mirror.totals([(1, EXPERIMENT, Totals(as_of=1.0))])
        await client.aclose()


async def test_a_store_that_nobody_answers_for_is_away() -> None:
    client = make_redis(f"redis://{HOST}:{free_port()}/0", timeout=0.5)
    with pytest.raises(StoreUnavailableError):
        await Mirror(client).define([EXPERIMENT])
    await client.aclose()


@pytest.mark.parametrize("moment", ["while it waits", "when it gets its answer"])
async def test_no_answer_reaches_another_caller_after_a_cancelled_call(redis_url: str, moment: Moment) -> None:
    client = make_redis(redis_url, timeout=2.0)

    async def step() -> None:
        async with client.pipeline(transaction=True) as pipe:
            pipe.incr("a")
            pipe.incr("b")
            await pipe.execute()

    async for number in cancelled_at_each_wait(step, moment):
        assert await client.echo(f"{number}") == f"{number}".encode()
        assert len(set(await client.mget("a", "b"))) == 1
    await client.aclose()
