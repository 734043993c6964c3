"""Replicas whose clocks differ, or are set, agree on which reward is late: windows are measured in Postgres's time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from bandit_service.app import create_app
from bandit_service.settings import Settings

WINDOW = 1.0
IN_TIME, TOO_LATE = 200, 410


class WrongClock:
    """A machine's clock that is wrong by some seconds."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def __call__(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def replica(settings: Settings, clock: WrongClock) -> AsyncIterator[httpx.AsyncClient]:
    """Run a replica with that clock."""
    app = create_app(settings, clock=clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client,
    ):
        yield client


@pytest.mark.parametrize("skew", [2.0, -2.0])
async def test_a_window_is_as_long_for_a_replica_whose_clock_is_wrong(settings: Settings, skew: float) -> None:
    clock = WrongClock(skew)
    async with replica(settings, WrongClock(0.0)) as right, replica(settings, clock) as wrong:
        await right.post("/experiments", json={"experiment_id": "x", "arms": ["a", "b"], "reward_window": WINDOW})
        for deciding, rewarding in ((right, wrong), (wrong, right), (wrong, wrong)):
            early, late = await _decide(deciding), await _decide(deciding)
            assert await _reward(rewarding, early) == IN_TIME
            await asyncio.sleep(WINDOW + 0.1)
            assert await _reward(rewarding, late) == TOO_LATE
            # Somebody sets the clock while the replica runs.
            clock.ahead += 1_000 * skew


async def _decide(client: httpx.AsyncClient) -> str:
    answer = await client.post("/select", json={"experiment_id": "x"})
    assert answer.json()["recorded"]
    return str(answer.json()["decision_id"])


async def _reward(client: httpx.AsyncClient, decision_id: str) -> int:
    return (await client.post("/reward", json={"decision_id": decision_id, "reward": 1})).status_code
