"""Callers are told a store that is full from one that is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import HOST, free_port
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
