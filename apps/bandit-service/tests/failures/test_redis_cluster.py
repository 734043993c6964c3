"""A Redis cluster is not supported: its nodes are refused by name, and everything goes to Postgres instead."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from pydantic import SecretStr

from bandit_local.servers import RedisServer
from bandit_local.servers.local_server import HOST, free_port
from bandit_service.operations.doctor import Examination, examine
from bandit_service.settings import Settings

if TYPE_CHECKING:
    from conftest import RunReplica

NODES = 3
SLOTS = 16_384


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Three primaries that have a third of the slots each."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "node-0").mkdir(mode=0o700)
    with ExitStack() as stack:
        nodes: list[RedisServer] = []
        for number in range(NODES):
            place = folder / f"node-{number}"
            if nodes:
                place.mkdir(mode=0o700)
                shutil.copy(nodes[0].data_dir / "password", place / "password")
            options = {"cluster-enabled": "yes", "cluster-port": str(free_port()), "cluster-node-timeout": "1000"}
            nodes.append(stack.enter_context(RedisServer(place, options=options)))
        _join(nodes)
        yield nodes


def _join(nodes: list[RedisServer]) -> None:
    share = SLOTS // NODES + 1
    for number, node in enumerate(nodes):
        with redis.Redis.from_url(node.url, decode_responses=True) as client:
            last = min((number + 1) * share, SLOTS) - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
            bus = client.config_get("cluster-port")["cluster-port"]
            with redis.Redis.from_url(nodes[0].url) as first:
                first.execute_command("CLUSTER MEET", HOST, node.port, bus)
    deadline = time.monotonic() + 20.0
    while any(_info(node)["cluster_state"] != "ok" or _info(node)["cluster_size"] != str(NODES) for node in nodes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _info(node: RedisServer) -> dict[str, Any]:
    with redis.Redis.from_url(node.url, decode_responses=True) as client:
        found: dict[str, Any] = client.execute_command("CLUSTER INFO")
    return found


@pytest.fixture
def clustered(settings: Settings, cluster: list[RedisServer]) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(cluster[0].url)})


async def test_a_cluster_is_named_as_what_is_wrong(clustered: Settings) -> None:
    findings = await examine(clustered, clock=time.time, examination=Examination(compare=False))
    found = {finding.subject: finding for finding in findings if finding.status == "fail"}
    assert "one of 3 nodes of a cluster" in found["Redis mode"].what


async def test_on_a_cluster_everything_is_recorded_in_postgres_and_every_process_says_so(
    clustered: Settings, run_replica: RunReplica, cluster: list[RedisServer]
) -> None:
    async with run_replica(clustered) as client:
        assert (await client.post("/experiments", json={"experiment_id": "x", "arms": ["a", "b"]})).status_code == 201
        for stage in ("whole", "without a node"):
            if stage == "without a node":
                await asyncio.to_thread(cluster[2].kill)
            for _ in range(20):
                decision = (await client.post("/select", json={"experiment_id": "x"})).json()
                assert decision["recorded"], stage
                reward = await client.post("/reward", json={"decision_id": decision["decision_id"], "reward": 1})
                assert (reward.status_code, reward.json()["status"]) == (200, "applied"), stage
            assert (await client.get("/ready")).json()["degraded"] == ["redis"], stage


async def test_a_cluster_of_one_node_is_like_any_other_server(
    settings: Settings, run_replica: RunReplica, tmp_path: Path
) -> None:
    options = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with RedisServer(tmp_path / "node", options=options) as node:
        with redis.Redis.from_url(node.url) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
        alone = settings.model_copy(update={"redis_url": SecretStr(node.url)})
        async with run_replica(alone) as client, asyncio.timeout(10.0):
            while (await client.get("/ready")).json()["degraded"]:
                await asyncio.sleep(0.05)
