"""A Postgres that came back older than the store must not cost the store its newer beliefs."""

import asyncio
from typing import Any

import httpx
import psycopg


async def reward(client: httpx.AsyncClient, times: int) -> None:
    for _ in range(times):
        answer = await client.post("/reward", json={"experiment_id": "homepage", "arm": "a", "reward": 1})
        assert answer.json()["status"] == "applied"


async def until_committed(dsn: str, seq: int) -> None:
    async with asyncio.timeout(15), await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while True:
            cursor = await connection.execute("SELECT committed_seq FROM event_positions")
            if await cursor.fetchone() == (seq,):
                return
            await asyncio.sleep(0.05)


async def until_degraded(client: httpx.AsyncClient, part: str) -> None:
    async with asyncio.timeout(15):
        while part not in await parts_away(client):
            await asyncio.sleep(0.05)


async def parts_away(client: httpx.AsyncClient) -> list[str]:
    degraded: list[str] = (await client.get("/ready")).json()["degraded"]
    return degraded


async def rewards_of(client: httpx.AsyncClient) -> int:
    arms: list[dict[str, Any]] = (await client.get("/experiments/homepage/posterior")).json()["arms"]
    return int(arms[0]["rewards"])


async def test_the_store_is_spared_and_goes_on_learning(client: httpx.AsyncClient, postgres_dsn: str) -> None:
    created = await client.post("/experiments", json={"experiment_id": "homepage", "arms": ["a", "b"]})
    assert created.status_code == 201
    await reward(client, 5)
    await until_committed(postgres_dsn, 5)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("DELETE FROM bandit_events WHERE seq > 2")
        connection.execute("DELETE FROM posterior_snapshots")
        connection.execute("UPDATE event_positions SET committed_seq = 2")
    await reward(client, 1)
    await until_degraded(client, "postgres_is_older")
    await reward(client, 3)
    assert await rewards_of(client) == 9
