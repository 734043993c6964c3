"""Hours of mixed load leave memory and file descriptors of a service process where they were.

`BANDIT_SOAK_MINUTES` says how long, 30 unless set. The first quarter is for warming up: caches fill, and the memory of
what Postgres does not have yet reaches its level. Then the medians of the second and of the last quarter are compared.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from conftest import Serve

    from bandit_service.settings import Settings

MINUTES = float(os.environ.get("BANDIT_SOAK_MINUTES", "30"))
SAMPLE_EVERY = 1.0
# Medians of a quarter each: what is above this grows. A leak of 100 bytes a request is 50 MB in half an hour at 300/s.
MOST_GROWTH_BYTES = 8 * 2**20
MOST_GROWTH_SHARE = 0.05
MOST_MORE_DESCRIPTORS = 3
EXPERIMENTS = ("plain", "sticky", "waiting")
PAUSE = 0.02


@dataclass(frozen=True)
class Sample:
    """What a process holds at one moment."""

    resident_bytes: int
    descriptors: int

    @classmethod
    def read(cls, metrics: str) -> Sample:
        values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("process_"))
        return cls(int(float(values["process_resident_memory_bytes"])), int(float(values["process_open_fds"])))


class Load:
    """Clients that decide, reward, ask again, send nonsense, look things up, and come and go."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._random = random.Random(1)
        self.answers: dict[int, int] = {}
        self.until = 0.0

    async def run(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        async with self._client() as http:
            await self._create(http)
            lasting = [self._lasting(http) for _ in range(4)]
            await asyncio.gather(*lasting, self._changing(http), self._coming_and_going())

    async def _create(self, http: httpx.AsyncClient) -> None:
        """The waiting experiment has a window short enough for every phase of it to be gone through many times."""
        kinds: tuple[dict[str, Any], ...] = (
            {},
            {"assignment": "sticky"},
            {"missing_reward": "zero", "reward_window": 5.0},
        )
        for name, kind in zip(EXPERIMENTS, kinds, strict=True):
            made = await http.post("/experiments", json={"experiment_id": name, "arms": ["a", "b", "c"], **kind})
            assert made.status_code == 201, made.text

    async def _lasting(self, http: httpx.AsyncClient) -> None:
        """One that keeps its connections."""
        while time.monotonic() < self.until:
            name = self._random.choice(EXPERIMENTS)
            # As many units as to come back now and then, and not so many that the memory of them grows for ever.
            unit = f"unit-{self._random.randrange(2_000)}"
            decision = await self._ask(http, "POST", "/select", {"experiment_id": name, "unit_id": unit})
            batch = await self._ask(http, "POST", "/select/batch", {"items": [{"experiment_id": EXPERIMENTS[0]}] * 10})
            reward = {"decision_id": decision.get("decision_id"), "reward": self._random.random()}
            await self._ask(http, "POST", "/reward", reward)
            await self._ask(http, "POST", "/reward", reward)
            rewards = [
                {"decision_id": item["result"]["decision_id"], "reward": 0} for item in batch.get("items", ())[:5]
            ]
            if rewards:
                await self._ask(http, "POST", "/reward/batch", {"items": rewards})
            await asyncio.sleep(PAUSE)

    async def _changing(self, http: httpx.AsyncClient) -> None:
        """One that changes settings, reads reports and sends what is refused."""
        for number in range(10**9):
            if time.monotonic() > self.until:
                return
            change = {"reason": "soak", "description": str(number % 10)}
            await self._ask(http, "PATCH", f"/experiments/{EXPERIMENTS[number % 3]}", change)
            for view in ("posterior", "allocation", "conclusion", "changes?limit=10"):
                await self._ask(http, "GET", f"/experiments/{EXPERIMENTS[number % 3]}/{view}")
            await self._ask(http, "GET", "/metrics")
            await self._ask(http, "POST", "/select", {"experiment_id": f"nowhere-{number}"})
            await self._ask(http, "POST", "/reward", {"decision_id": f"d1.{number}", "reward": 5})
            await self._ask(http, "GET", f"/nowhere/{number}")
            await asyncio.sleep(0.5)

    async def _coming_and_going(self) -> None:
        """One that makes a connection for each request, and one that leaves in the middle of it."""
        port = httpx.URL(self._url).port
        while time.monotonic() < self.until:
            async with self._client() as http:
                await self._ask(http, "POST", "/select", {"experiment_id": EXPERIMENTS[0]})
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /select HTTP/1.1\r\nHost: soak\r\nContent-Length: 100\r\n\r\n{")
            await writer.drain()
            writer.close()
            await asyncio.sleep(0.1)

    async def _ask(self, http: httpx.AsyncClient, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = await http.request(method, path, json=body)
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        if answer.status_code != 200 or "json" not in answer.headers["content-type"]:
            return {}
        found: dict[str, Any] = answer.json()
        return found

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._url, timeout=30.0)


async def watch(url: str, samples: list[Sample]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30.0) as http:
        while True:
            samples.append(Sample.read((await http.get("/metrics")).text))
            await asyncio.sleep(SAMPLE_EVERY)


def quarters(values: list[int]) -> tuple[float, float]:
    """Return the medians of the second and of the last quarter."""
    quarter = len(values) // 4
    return median(values[quarter : 2 * quarter]), median(values[-quarter:])


@pytest.mark.verify
async def test_memory_and_descriptors_stay_where_they_are(
    serve: Serve, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(settings) as url:
        load, samples = Load(url), list[Sample]()
        watching = asyncio.create_task(watch(url, samples))
        await load.run(MINUTES * 60)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    earlier, later = quarters([sample.resident_bytes for sample in samples])
    fewer, more = quarters([sample.descriptors for sample in samples])
    asked = sum(load.answers.values())
    with capsys.disabled():
        sys.stdout.write(
            f"\nsoak of {MINUTES:g} minutes: {asked} requests ({load.answers}); resident {earlier / 2**20:.1f} MiB in"
            f" the second quarter, {later / 2**20:.1f} MiB in the last; descriptors {fewer:g} and {more:g}\n"
        )
    assert sum(number for status, number in load.answers.items() if status >= 500) <= asked * 0.001
    assert later - earlier <= max(MOST_GROWTH_BYTES, MOST_GROWTH_SHARE * earlier)
    assert more - fewer <= MOST_MORE_DESCRIPTORS
