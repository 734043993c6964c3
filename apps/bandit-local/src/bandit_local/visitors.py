"""Simulated visitors: each asks the service for an arm over HTTP, clicks or does not, and tells the service."""

import asyncio
import time
from collections.abc import Callable, Mapping

import numpy as np

from bandit_local.waiting import set_within
from bandit_sdk import AsyncClient, AwayError

CONCURRENCY = 32


class Visitors:
    """An endless, seeded stream of visitors to one experiment.

    Visitor n clicks when the n-th uniform number of ``generator`` lies below the click rate of the arm that was shown:
    the same seed gives the same visitors, whatever the order in which their requests overlap. (Which arm they are shown
    is the service's own draw.) ``rate`` is arrivals per second, None for as fast as the service answers.
    """

    def __init__(
        self,
        open_client: Callable[[], AsyncClient],
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
        async with asyncio.TaskGroup() as connections:
            for _ in range(self._concurrency):
                connections.create_task(self._send_visitors(opening, until))

    async def _send_visitors(self, opening: float, until: asyncio.Event) -> None:
        """Send visitors one after the other over a connection of their own.

        One client for all would search its whole pool of connections for each request, at three times the cost.
        """
        async with self._open_client() as client:
            while not until.is_set():
                number, mood = self.arrived, float(self._generator.random())
                self.arrived += 1
                if self._rate is not None and await set_within(until, opening + number / self._rate - self._clock()):
                    return
                try:
                    await self._visit(client, mood)
                except AwayError:
                    self.unserved += 1

    async def _visit(self, client: AsyncClient, mood: float) -> None:
        decision = await client.select(self._experiment_id)
        self.requests += 1
        click_rate = self._click_rates.get(decision.arm)
        if click_rate is None:  # an arm that was added meanwhile: nothing is known of it, so nothing is reported
            return
        await client.reward(decision, reward=int(mood < click_rate))
        self.requests += 1
