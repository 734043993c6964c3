"""Groups that are as large as they can be: callers that were just answered ask again in a moment."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Gathering[T]:
    """Items that wait to be handled as one group, oldest first.

    A group costs nearly the same whatever its size. Callers that ask again once they are answered would fall into two
    halves, each waiting for the group of the other. So a group waits for as many items as the last group had, together
    with those that came meanwhile; but no longer than the last group took, and never for more than some milliseconds.

    Args:
        most: How many items a group may have.
        longest: For how many seconds it waits at most.
    """

    def __init__(self, most: int, *, longest: float) -> None:
        self._longest = longest
        self._most = most
        self._items: deque[T] = deque()
        self._wake = asyncio.Event()
        self._expected = 1
        self._until = float("-inf")
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def add(self, item: T) -> None:
        self._items.append(item)
        if len(self._items) >= self._expected:
            self._wake.set()

    def pop(self) -> T:
        """Take the oldest item out."""
        return self._items.popleft()

    def close(self) -> None:
        """Have `gathered` return with what there is, now and from now on."""
        self._closed = True
        self._wake.set()

    async def gathered(self) -> None:
        """Return once there is a group to handle, or when closed."""
        loop = asyncio.get_running_loop()
        seconds = self._until - loop.time()
        if len(self._items) < self._expected and seconds > 0 and not self._closed:
            self._wake.clear()
            timer = loop.call_later(seconds, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
        if not self._items and not self._closed:
            self._expected = 1
            self._wake.clear()
            await self._wake.wait()

    @contextmanager
    def handled(self, size: int) -> Iterator[None]:
        """Note how long a group of that size takes, and what may be expected after it."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            yield
        finally:
            ended = loop.time()
            self._expected = min(size + len(self._items), self._most)
            self._until = ended + min(ended - started, self._longest)
