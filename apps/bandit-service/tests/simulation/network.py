"""The network between the processes and the stores: seeded delays, losses and partitions."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from .link import ConnectionLostError

# Most messages arrive at once, some a little later, few much later: (share of messages, longest delay in seconds).
_DELAYS: Final = ((0.80, 0.0), (0.17, 0.004), (0.027, 0.05), (0.003, 0.5))


class NetworkLink:
    """The link of one process to one store.

    Args:
        rng: Draws what happens to each message.
        longest: Seconds after which who waits for an answer that never comes gives the connection up.
    """

    def __init__(self, rng: Random, *, longest: float) -> None:
        self._random = rng.random
        self._longest = longest
        self.is_cut = False
        # The schedule has ended: everything fails at once.
        self.is_over = False
        self.lost_requests = 0.0
        self.lost_answers = 0.0

    def heal(self) -> None:
        self.is_cut, self.lost_requests, self.lost_answers = False, 0.0, 0.0

    async def request(self) -> None:
        await self._delay()
        if self.is_cut or (self.lost_requests and self._random() < self.lost_requests):
            await self._give_up()

    async def reply(self) -> None:
        await self._delay()
        if self.is_cut or (self.lost_answers and self._random() < self.lost_answers):
            await self._give_up()

    def passes(self) -> bool:
        """Whether the other side hears that a connection was closed."""
        return not self.is_cut

    def delivers(self) -> bool:
        """Whether a message that a store sends by itself arrives."""
        return not self.is_cut and not (self.lost_answers and self._random() < self.lost_answers)

    async def _delay(self) -> None:
        if self.is_over:
            raise ConnectionLostError
        drawn = self._random()
        for share, longest in _DELAYS:
            if drawn < share:
                if longest:
                    await asyncio.sleep(longest * drawn / share)
                return
            drawn -= share

    async def _give_up(self) -> None:
        """Find out: soon where the connection is reset, else when patience ends."""
        is_reset = not self.is_cut and self._random() < 0.5
        await asyncio.sleep(self._longest * (0.02 if is_reset else 1.0))
        raise ConnectionLostError
