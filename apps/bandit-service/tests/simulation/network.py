"""The network between the processes and the stores: seeded delays, losses and partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from .link import ConnectionLostError

# Most messages arrive at once, some a little later, few much later: (share of messages, longest delay in seconds).
_DELAYS: Final = ((0.80, 0.0), (0.17, 0.004), (0.027, 0.05), (0.003, 0.5))


class Strike:
    """Something that happens to a process at one of the messages that it sends or gets next, in the middle of its work.

    Args:
        messages: At which of them.
        happen: Does it.
    """

    def __init__(self, messages: int, happen: Callable[[], None]) -> None:
        self._left = messages
        self._happen = happen

    def is_due(self) -> bool:
        """Count a message; let it happen at the last one."""
        self._left -= 1
        if self._left == 0:
            self._happen()
        return self._left == 0


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
        # Of the answers that say that something is committed.
        self.lost_commits = 0.0
        self.strike: Strike | None = None
        self._breaks = False
        self._stall = 0.0

    def heal(self) -> None:
        self.is_cut, self.lost_requests, self.lost_answers, self.lost_commits = False, 0.0, 0.0, 0.0

    def break_once(self) -> None:
        """Lose one message, with its connection."""
        self._breaks = True

    def stall_once(self, seconds: float) -> None:
        """Keep the next answer for so long that says that something is committed."""
        self._stall = seconds

    async def request(self) -> None:
        await self._delay()
        if self._loses(self.lost_requests):
            await self._give_up()

    async def reply(self, *, commits: bool = False) -> None:
        await self._delay()
        if commits and self._stall:
            seconds, self._stall = self._stall, 0.0
            await asyncio.sleep(seconds)
        if self._loses(self.lost_answers) or (commits and self._loses(self.lost_commits)):
            await self._give_up()

    def passes(self) -> bool:
        """Whether the other side hears that a connection was closed."""
        return not self.is_cut

    def delivers(self) -> bool:
        """Whether a message that a store sends by itself arrives."""
        return not self.is_cut and not (self.lost_answers and self._random() < self.lost_answers)

    def _loses(self, share: float) -> bool:
        if self._breaks:
            self._breaks = False
            return True
        return self.is_cut or (share > 0 and self._random() < share)

    async def _delay(self) -> None:
        if self.is_over:
            raise ConnectionLostError
        if self.strike is not None and self.strike.is_due():
            # What was struck goes on from here when it may, or never.
            await asyncio.sleep(0)
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
