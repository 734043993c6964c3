"""The drill: a database is dumped while it is used, restored into an empty place, and beliefs come back exactly."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from bandit_local.servers import PostgresServer, RedisServer
from bandit_local.servers.postgres import postgres_binary
from bandit_service.ledger.agreement import Agreement, Difference
from bandit_service.ledger.pool import make_pool

from .conftest import MICRO

ARMS = ["a", "b", "c"]

type StartService = Callable[..., Any]


def postgres_program(name: str, dsn: str, *arguments: str) -> None:
    """Run a program of Postgres against a database; the password goes by the environment, as it should."""
    parts = conninfo_to_dict(dsn)
    environment = {**os.environ, "PGPASSWORD": str(parts.pop("password"))}
    address = psycopg.conninfo.make_conninfo("", **parts)
    command = [str(postgres_binary(name)), "--dbname", address, *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


type Beliefs = dict[str, tuple[int, int]]


def folded(dsn: str) -> Beliefs:
    """Return alpha and beta in millionths: every reward added up independently onto a prior of one and one."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT arm, coalesce(sum(reward_micro) FILTER (WHERE kind = 'reward'), 0),"
            " count(*) FILTER (WHERE kind = 'reward')"
            " FROM experiment_arms LEFT JOIN bandit_events USING (experiment_id, arm_index) GROUP BY arm"
        ).fetchall()
    return {arm: (MICRO + int(micro), MICRO + count * MICRO - int(micro)) for arm, micro, count in rows}


async def posteriors(client: httpx.AsyncClient) -> Beliefs:
    answer = (await client.get("/experiments/homepage/posterior")).raise_for_status().json()
    return {arm["arm"]: (round(arm["alpha"] * MICRO), round(arm["beta"] * MICRO)) for arm in answer["arms"]}


async def visit(client: httpx.AsyncClient, number: int) -> str:
    """One visitor: a decision, and for most a reward between 0 and 1; returns the decision's id."""
    body = {"experiment_id": "homepage", "unit_id": f"visitor-{number}"}
    decision = (await client.post("/select", json=body)).raise_for_status().json()["decision_id"]
    if number % 3:
        await reward(client, decision, (number % 7) / 7)
    return str(decision)


async def reward(client: httpx.AsyncClient, decision_id: str, value: float) -> str:
    answer = await client.post("/reward", json={"decision_id": decision_id, "reward": value})
    return str(answer.raise_for_status().json()["status"])


async def differences(dsn: str) -> list[Difference]:
    async with make_pool(dsn) as pool:
        return await Agreement(pool).differences()


async def drained(dsn: str, events: int) -> None:
    """Wait until Postgres has that many events."""
    deadline = time.monotonic() + 20
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM bandit_events").fetchone() != (events,):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def matching(client: httpx.AsyncClient, expected: Beliefs) -> float:
    """Wait until the service answers with these posteriors; return how long that took."""
    started = time.monotonic()
    while True:
        answer = await client.get("/experiments/homepage/posterior")
        if answer.is_success and await posteriors(client) == expected:
            return time.monotonic() - started
        assert time.monotonic() - started < 20, answer.text
        await asyncio.sleep(0.05)


@pytest.fixture
async def empty_place(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """A Postgres and a Redis that have never seen anything."""
    options = {"fsync": "off", "synchronous_commit": "off"}
    with PostgresServer(tmp_path / "postgres", options=options) as postgres, RedisServer(tmp_path / "redis") as store:
        yield postgres.dsn, store.url


@pytest.fixture
def start_elsewhere(start_service: StartService, empty_place: tuple[str, str]) -> Callable[[], Any]:
    """Start the service on the empty place, with the signing keys it has everywhere."""
    dsn, url = empty_place

    @asynccontextmanager
    async def start() -> AsyncIterator[httpx.AsyncClient]:
        async with start_service(postgres_dsn=SecretStr(dsn), redis_url=SecretStr(url)) as client:
            yield client

    return start


async def test_a_backup_taken_under_load_brings_the_beliefs_back_exactly(
    client: httpx.AsyncClient,
    postgres_dsn: str,
    empty_place: tuple[str, str],
    start_elsewhere: Callable[[], Any],
    tmp_path: Path,
) -> None:
    restored_dsn, _ = empty_place
    dump = str(tmp_path / "bandit.dump")
    (await client.post("/experiments", json={"experiment_id": "homepage", "arms": ARMS})).raise_for_status()
    for number in range(150):
        await visit(client, number)
    unrewarded = await visit(client, 0)

    async def keep_visiting() -> None:
        number = 1_000
        while True:
            number += 1
            await visit(client, number)

    visiting = asyncio.create_task(keep_visiting())
    started = time.monotonic()
    await asyncio.to_thread(postgres_program, "pg_dump", postgres_dsn, "--format=custom", f"--file={dump}")
    dumped = time.monotonic()
    visiting.cancel()
    await asyncio.to_thread(postgres_program, "pg_restore", restored_dsn, "--no-owner", "--exit-on-error", dump)
    restored = time.monotonic()
    expected = folded(restored_dsn)
    assert await differences(restored_dsn) == [], "a dump is one moment of events and totals"
    assert sum(alpha + beta for alpha, beta in expected.values()) > (6 + 50) * MICRO, "the dump holds rewards"
    async with start_elsewhere() as elsewhere:
        recovery = await matching(elsewhere, expected)
        assert await reward(elsewhere, unrewarded, 1.0) == "applied", "a decision from before the backup"
        assert await reward(elsewhere, unrewarded, 1.0) == "duplicate"
        assert await visit(elsewhere, 1)
    print(  # noqa: T201
        f"dumped in {dumped - started:.2f} s, restored in {restored - dumped:.2f} s, beliefs back in {recovery:.2f} s"
    )


async def test_a_backup_of_everything_is_the_same_beliefs_as_the_store_had(
    client: httpx.AsyncClient,
    postgres_dsn: str,
    empty_place: tuple[str, str],
    start_elsewhere: Callable[[], Any],
    tmp_path: Path,
) -> None:
    restored_dsn, _ = empty_place
    dump = str(tmp_path / "bandit.dump")
    (await client.post("/experiments", json={"experiment_id": "homepage", "arms": ARMS})).raise_for_status()
    for number in range(90):
        await visit(client, number)
    await drained(postgres_dsn, 90 + 60)
    before = await posteriors(client)
    assert folded(postgres_dsn) == before
    assert await differences(postgres_dsn) == []
    await asyncio.to_thread(postgres_program, "pg_dump", postgres_dsn, "--format=custom", f"--file={dump}")
    await asyncio.to_thread(postgres_program, "pg_restore", restored_dsn, "--no-owner", "--exit-on-error", dump)
    async with start_elsewhere() as elsewhere:
        await matching(elsewhere, before)
