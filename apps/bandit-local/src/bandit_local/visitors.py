"""Simulated visitors: each asks the service for an arm over HTTP, clicks or does not, and tells the service."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np

from bandit_local.errors import LocalError
from bandit_local.waiting import set_within

CONCURRENCY = 32
ATTEMPTS = 6
FIRST_PAUSE = 0.1
PASSING = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class Visitors:
    """An endless, seeded stream of visitors to one experiment.

    Visitor n clicks when the n-th uniform number of ``generator`` lies below the click rate of the arm that was shown:
    the same seed gives the same visitors, whatever the order in which their requests overlap. (Which arm they are shown
    is the service's own draw.) ``rate`` is arrivals per second, None for as fast as the service answers.
    """

    def __init__(
        self,
        open_client: Callable[[], httpx.AsyncClient],
        experiment_id: str,
        click_rates: Mapping[str, float],
        generator: np.random.Generator,
        *,
        rate: float | None = None,
        concurrency: int = CONCURRENCY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_client = open_client
        self._experiment_id = experiment_id
        self._click_rates = click_rates
        self._generator = generator
        self._rate = rate
        self._concurrency = concurrency
        self._clock = clock
        self.arrived = 0
        self.requests = 0
        self.unserved = 0

    async def run(self, until: asyncio.Event) -> None:
        """Send visitors until the event is set, then let those under way finish."""
        opening = self._clock()
        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._concurrency):
                lanes.create_task(self._lane(opening, until))

    async def _lane(self, opening: float, until: asyncio.Event) -> None:
        """Send visitors one after the other over a connection of their own.

        One client for all would search its whole pool of connections for each request, at three times the cost.
        """
        async with self._open_client() as client:
            while not until.is_set():
                number, mood = self.arrived, float(self._generator.random())
                self.arrived += 1
                if self._rate is not None and await set_within(until, opening + number / self._rate - self._clock()):
                    return
                await self._visit(client, mood)

    async def _visit(self, client: httpx.AsyncClient, mood: float) -> None:
        decision = await self._post(client, "/select", {"experiment_id": self._experiment_id})
        if decision is None:
            return
        click_rate = self._click_rates.get(decision["arm"])
        if click_rate is None:  # an arm somebody added meanwhile: nothing is known of it, so nothing is reported
            return
        reward = int(mood < click_rate)
        await self._post(client, "/reward", {"decision_id": decision["decision_id"], "reward": reward})

    async def _post(self, client: httpx.AsyncClient, path: str, body: Mapping[str, object]) -> dict[str, Any] | None:
        """Send one request, patiently: a repeated reward names the same decision, so it still counts once."""
        pause = FIRST_PAUSE
        for _ in range(ATTEMPTS):
            response = await self._try(client, path, body)
            if response is not None and response.is_success:
                answer: dict[str, Any] = response.json()
                return answer
            await asyncio.sleep(max(pause, _retry_after(response)))
            pause *= 2
        self.unserved += 1
        return None

    async def _try(self, client: httpx.AsyncClient, path: str, body: Mapping[str, object]) -> httpx.Response | None:
        """Send one request once; None when no answer came, LocalError when another try cannot help."""
        try:
            response = await client.post(path, json=body)
        except httpx.TransportError:
            return None
        self.requests += 1
        if not response.is_success and response.status_code not in PASSING:
            raise LocalError(f"The service answered {response.status_code} to {path}: {explanation(response)}")
        return response


def explanation(response: httpx.Response) -> str:
    """Return what a problem document says, in one line."""
    try:
        problem = response.json()
    except ValueError:
        return response.text.strip().split("\n", 1)[0][:200] or response.reason_phrase
    return str(problem.get("detail") or problem.get("title") or problem)


def _retry_after(response: httpx.Response | None) -> float:
    seconds = response.headers.get("Retry-After", "") if response is not None else ""
    return float(seconds) if seconds.isdecimal() else 0.0
