"""An asyncio event loop on virtual time: nothing sleeps, and a seed decides in which order processes take their turns.

The callbacks of one process run in the order in which they became ready, as asyncio promises. Which process runs next,
and by how much a timer is late, is drawn. While nobody has anything to do, time jumps to the next timer.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final, cast

# So that a schedule that never ends is a failure, not a test that hangs.
MOST_CALLBACKS: Final = 3_000_000
# A timer of a busy process is so much late.
_LATE: Final = 0.002
_CLEANED: Final = 512
_CANCELLED_TIMES: Final = 20


class EndlessError(Exception):
    """The schedule runs for ever, or waits for what never comes."""


class Handle:
    """A callback that is to run, as asyncio's handles are, but without what nobody here asks of one."""

    __slots__ = ("_at", "args", "callback", "context", "is_cancelled", "owner")

    def __init__(
        self, owner: Owner, callback: Callable[..., object], args: tuple[Any, ...], context: Context, at: float
    ) -> None:
        self.owner = owner
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False
        self._at = at

    def when(self) -> float:
        return self._at

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled


class Owner:
    """A process, as the owner of callbacks: frozen, they are held back; killed, they never run."""

    __slots__ = ("is_dead", "is_frozen", "name", "number", "ready", "tasks")

    def __init__(self, name: str, number: int = 0) -> None:
        self.name = name
        self.number = number
        self.is_frozen = False
        self.is_dead = False
        self.ready: deque[Handle] = deque()
        # Kept alive when the process is killed: a coroutine that is collected would clean up.
        self.tasks: list[asyncio.Task[Any]] = []


OWNER: Final[ContextVar[Owner]] = ContextVar("owner")


class SimulatedLoop:
    """Runs callbacks; `owners` are the processes, the first is the world outside them."""

    def __init__(self, rng: Random) -> None:
        # It has what asyncio asks of a loop for futures, tasks and timers, and nothing else.
        self._as_loop = cast("asyncio.AbstractEventLoop", self)
        self._random = rng.random
        self._now = 0.0
        self._number = 0
        self._callbacks = 0
        self._timers: list[tuple[float, int, Handle]] = []
        self.world = Owner("world")
        self.owners = [self.world]
        self._killed: list[Owner] = []
        self.failures: list[str] = []
        # The same for the same schedule: of every callback, when it ran and whose it was.
        self.digest = 0

    # -- what asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:
        if context is None:
            context = copy_context()
        owner = context.get(OWNER, self.world)
        handle = Handle(owner, callback, args, context, self._now)
        owner.ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        if context is None:
            context = copy_context()
        handle = Handle(context.get(OWNER, self.world), callback, args, context, when)
        self._number += 1
        due = (max(self._now, when)) + _LATE * self._random()
        heapq.heappush(self._timers, (due, self._number, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._as_loop)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        if context is None:
            context = copy_context()
        task = asyncio.Task(coro, loop=self._as_loop, name=name, context=context)
        owner = context.get(OWNER, self.world)
        owner.tasks.append(task)
        if len(owner.tasks) >= _CLEANED:
            owner.tasks = [each for each in owner.tasks if not each.done()]
        return task

    def run_in_executor(self, _: object, func: Callable[..., object], *args: Any) -> asyncio.Future[Any]:
        """Do the work of a thread at a later turn: there are no threads here."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 (it is for whoever waits)
                future.set_exception(error)

        self.call_soon(work)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context.get('message')}: {error!r}")

    # -- what the simulation does with it

    def run_until_complete[Result](self, future: Coroutine[Any, Any, Result]) -> Result:
        task = self.create_task(future, context=Context())
        asyncio._set_running_loop(self._as_loop)
        try:
            while not task.done():
                self._turn()
        finally:
            asyncio._set_running_loop(None)
        result: Result = task.result()
        return result

    def next_number(self) -> int:
        """Return a number for another owner."""
        return len(self.owners) + len(self._killed)

    def kill(self, owner: Owner) -> None:
        """Never run anything of a process again, nor clean up after it."""
        owner.is_dead = True
        self.owners.remove(owner)
        self._killed.append(owner)

    def end(self) -> None:
        """Cancel everything, also what was killed or is frozen: what is collected half done would clean up anywhere."""
        asyncio._set_running_loop(self._as_loop)
        try:
            self.owners += self._killed
            for owner in self.owners:
                owner.is_frozen = False
            for _ in range(_CANCELLED_TIMES):
                left = [task for owner in self.owners for task in owner.tasks if not task.done()]
                if not left:
                    return
                for task in left:
                    task.cancel()
                while any(owner.ready for owner in self.owners):
                    self._turn()
            raise EndlessError(f"tasks that cannot be cancelled: {left}")
        finally:
            asyncio._set_running_loop(None)

    def _turn(self) -> None:
        runnable = [owner for owner in self.owners if owner.ready and not owner.is_frozen]
        if not runnable:
            self._jump()
            return
        owner = runnable[0] if len(runnable) == 1 else runnable[int(self._random() * len(runnable))]
        handle = owner.ready.popleft()
        if handle.is_cancelled:
            return
        self._callbacks += 1
        if self._callbacks > MOST_CALLBACKS:
            raise EndlessError(f"more than {MOST_CALLBACKS:,} callbacks by {self._now:.1f} s")
        self.digest = hash((self.digest, self._now, owner.number))
        try:
            handle.context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 (whatever it is, nobody else hears of it)
            self.call_exception_handler({"message": f"in {handle.callback!r}", "exception": error})

    def _jump(self) -> None:
        """Go on to the next timer, and make everything ready that is due then."""
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise EndlessError("everybody waits, and no timer is set")
        now = self._now = timers[0][0]
        while timers and timers[0][0] <= now:
            handle = heapq.heappop(timers)[2]
            if not handle.is_cancelled:
                handle.owner.ready.append(handle)
