"""What Redis holds while a service decides a thousand times a second: the last minute, and copies."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

import httpx
import pytest
import redis

from bandit_service.settings import Settings

if TYPE_CHECKING:
    from conftest import Serve

SECONDS: Final = 120
A_SECOND: Final = 1_000
AT_ONCE: Final = 10
CONNECTIONS: Final = 4
MOST_BYTES: Final = 100_000_000
PROBE_EVERY: Final = 1.0


async def decide(http: httpx.AsyncClient, until: float) -> int:
    """Decide at an even rate, or as fast as the machine does; return how many decisions were made."""
    made, next_at = 0, time.monotonic()
    while time.monotonic() < until:
        items = [{"experiment_id": "homepage", "unit_id": f"unit-{made + place}"} for place in range(AT_ONCE)]
        answer = await http.post("/select/batch", json={"items": items})
        assert all(item["result"]["recorded"] for item in answer.json()["items"])
        made += AT_ONCE
        next_at += AT_ONCE * CONNECTIONS / A_SECOND
        await asyncio.sleep(max(0.0, next_at - time.monotonic()))
    return made


async def watch(url: str, samples: list[int]) -> None:
    with redis.Redis.from_url(url) as client:
        while True:
            samples.append(int((await asyncio.to_thread(client.info, "memory"))["used_memory"]))
            await asyncio.sleep(PROBE_EVERY)


@pytest.mark.verify
async def test_redis_stays_small_at_a_thousand_decisions_a_second(
    serve: Serve, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    url = settings.redis_url.get_secret_value()
    with serve(settings.model_copy(update={"redis_timeout": 5.0})) as service, redis.Redis.from_url(url) as client:
        samples = [int(client.info("memory")["used_memory"])]
        async with httpx.AsyncClient(base_url=service, timeout=30.0) as http:
            created = await http.post("/experiments", json={"experiment_id": "homepage", "arms": ["a", "b", "c"]})
            assert created.status_code == 201
            watching = asyncio.create_task(watch(url, samples))
            until = time.monotonic() + SECONDS
            made = sum(await asyncio.gather(*[decide(http, until) for _ in range(CONNECTIONS)]))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    rate, grown = made / SECONDS, max(samples) - samples[0]
    with capsys.disabled():
        sys.stdout.write(
            f"\nRedis at {rate:.0f} decisions a second for {SECONDS} s: {max(samples) / 1e6:.1f} MB at most,"
            f" {grown / 1e6:.1f} MB more than before; at {A_SECOND} a second {grown * A_SECOND / rate / 1e6:.1f} MB\n"
        )
    assert grown * A_SECOND / rate < MOST_BYTES
