"""Cancelling a coroutine at each of the points where it waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from itertools import count
from typing import Any, Literal

type Moment = Literal["while it waits", "when it gets its answer"]


async def cancelled_at_each_wait(step: Callable[[], Awaitable[object]], moment: Moment) -> AsyncIterator[int]:
    """Run a step again and again, each time cancelled one wait later, until it ends before it is cancelled.

    Yields:
        The number of the wait, after the step was cancelled there.
    """
    for number in count():
        try:
            await _CancelledAt(step(), number, moment)
        except asyncio.CancelledError:
            yield number
        else:
            return


class _CancelledAt:
    """Awaits something, and cancels the running task at one of its waits."""

    def __init__(self, inner: Awaitable[object], number: int, moment: Moment) -> None:
        self._inner = inner
        self._left = number
        self._moment = moment

    def __await__(self) -> Generator[Any, Any, object]:
        inner = self._inner.__await__()
        try:
            waiting = next(inner)
            while True:
                self._cancel_at(waiting)
                try:
                    yield waiting
                except BaseException as error:  # noqa: BLE001 - what is thrown in belongs to the inner one
                    waiting = inner.throw(error)
                else:
                    waiting = next(inner)
        except StopIteration as end:
            return end.value

    def _cancel_at(self, waiting: asyncio.Future[object] | None) -> None:
        self._left -= 1
        task = asyncio.current_task()
        if self._left != -1 or task is None:
            return
        if waiting is None or self._moment == "while it waits":
            task.cancel()
        else:
            waiting.add_done_callback(lambda _: task.cancel())
