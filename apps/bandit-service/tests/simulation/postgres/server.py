"""A simulated Postgres: sessions, life and death, failover, and a clock."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

import psycopg
from psycopg import errors

from ..link import Link
from . import jsonb
from .database import Commit, Database
from .pool import SimulatedPool
from .session import Session
from .statements import Model

# How far back a standby can lag that a failover promotes.
LONGEST_LAG: Final = 60.0

type Old = Literal["ended", "read only", "in recovery"]


class SimulatedPostgres:
    """One address, behind which one server at a time is the primary.

    Nothing in it takes real time, and everything by chance comes from `rng`.

    Args:
        clock: The time in seconds since the epoch.
        rng: Where chance comes from.
        moment: Returns how long (s) a statement that writes takes between its look at what is committed and its first
            write; without it no time passes.
    """

    def __init__(
        self, clock: Callable[[], float], rng: random.Random, *, moment: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.time = clock
        self.rng = rng
        self.moment = moment
        self.is_up = True
        self.is_frozen = False
        self.holds_commits = False
        # What the server does by itself belongs to none of its clients.
        self._context = contextvars.Context()
        self._offset = 0.0
        self._tick = (0, 0)
        self._sessions: dict[Session, None] = {}
        self._left_behind: dict[Session, None] = {}
        self._held: dict[Session, None] = {}
        self._thawing: deque[Callable[[], None]] = deque()
        self.database = Database(self.now_us, LONGEST_LAG)
        # What hears of every statement with its parameters, of every commit, and of what a failover loses.
        self.on_statement: Callable[[str, int, Model, Any], None] = lambda *_: None
        self.on_commit: Callable[[Commit], None] = lambda _: None
        self.on_lost: Callable[[list[Commit]], None] = lambda _: None

    # Clients.

    def pool(self, link: Link, *, min_size: int = 1, max_size: int = 8, client: str = "") -> SimulatedPool:
        """Return the pool of one process, which is opened as psycopg's is."""
        return SimulatedPool(self, link, min_size=min_size, max_size=max_size, client=client)

    def connect(self, client: str = "") -> Session:
        """Begin a session.

        Raises:
            psycopg.OperationalError: nobody listens.
        """
        if not self.is_up:
            raise psycopg.OperationalError("connection refused")
        session = Session(self, client)
        self._sessions[session] = None
        return session

    def forget(self, session: Session) -> None:
        self._sessions.pop(session, None)
        self._left_behind.pop(session, None)

    # Life and death.

    def kill(self) -> None:
        """Stop at once: what is not committed is lost, and nobody can connect."""
        self.is_up = False
        self.end_sessions(psycopg.OperationalError)
        self.thaw()

    def start(self) -> None:
        """Start again, with everything that was committed."""
        if not self.is_up:
            self.database.skip_ids(self.rng.randrange)
            self.is_up = True

    def end_sessions(self, reason: type[psycopg.Error] = errors.AdminShutdown) -> None:
        """End every session; what they have not committed is rolled back."""
        for session in list(self._sessions):
            session.terminate(reason)

    def end_old_sessions(self) -> None:
        """Stop the old primary that a failover has left behind."""
        for session in list(self._left_behind):
            session.terminate()

    def freeze(self) -> None:
        """Stand still: messages are taken and nothing is done about them."""
        self.is_frozen = True

    def thaw(self) -> None:
        """Go on with everything that has come meanwhile, in its order."""
        self.is_frozen = False
        while self._thawing and not self.is_frozen:
            self._context.run(self._thawing.popleft())

    def failover(self, lag: float = 0.0, *, old: Old = "ended") -> int:
        """Promote a standby that lacks what was committed in the last seconds; return how many commits that were.

        Args:
            lag: How many seconds.
            old: What becomes of the sessions of the old primary. They end; or the old primary stays, behind something
                that keeps connections, read-only or as a standby, with what the new one has lost.
        """
        # What no standby has confirmed is on none.
        self._held.clear()
        if old != "ended" and self.is_up:
            self._leave_behind(old)
        self.end_sessions(psycopg.OperationalError)
        lost = self.database.lose(self.time() - lag, self.rng.randrange)
        self.on_lost(lost)
        self.database.timeline_number += 1
        self.database.is_read_only = False
        self.holds_commits = False
        self.is_up = True
        self.thaw()
        return len(lost)

    def set_read_only(self, *, is_read_only: bool = True) -> None:
        """Refuse to write, with SQLSTATE 25006, or take that back."""
        self.database.is_read_only = is_read_only

    def hold_commits(self) -> None:
        """Let commits wait for a synchronous standby that is away."""
        self.holds_commits = True

    def release_commits(self) -> None:
        """Confirm the commits that wait, and those that come."""
        self.holds_commits = False
        for session in list(self._held):
            self.release(session)

    def hold(self, session: Session) -> None:
        self._held[session] = None

    def is_held(self, session: Session) -> bool:
        return session in self._held

    def release(self, session: Session) -> None:
        if session in self._held:
            del self._held[session]
            session.commit_held()

    # Time.

    def set_clock_offset(self, seconds: float) -> None:
        """Set the server's clock so far ahead of the true time."""
        self._offset = seconds

    def now(self) -> float:
        """Return what the server's clock says, in seconds since the epoch."""
        return self.time() + self._offset

    def now_us(self) -> int:
        """Return clock_timestamp() in microseconds: between two looks at it a real one has moved on."""
        now = round(self.now() * 1_000_000)
        self._tick = (now, self._tick[1] + 1) if self._tick[0] == now else (now, 0)
        return now + self._tick[1]

    def soon(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback, context=self._context)

    def later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call something after a time, and not while the server stands still."""
        return asyncio.get_running_loop().call_later(seconds, self.when_thawed, callback, context=self._context)

    def when_thawed(self, callback: Callable[[], None]) -> None:
        """Call something, once the server does not stand still (any more)."""
        if self.is_frozen:
            self._thawing.append(callback)
        else:
            callback()

    # For those who look at it.

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the committed rows of a table in the order of their keys.

        Times are microseconds since the epoch, and JSON is the text that Postgres would show.
        """
        found = self.database.tables[table]
        rows = [found.rows[key]._asdict() for key in sorted(found.rows)]
        for row in rows:
            for column in found.json:
                if row[column] is not None:
                    row[column] = jsonb.canonical(row[column])
        return rows

    def _leave_behind(self, old: Old) -> None:
        """Give the sessions a copy of the data, which nobody can write to."""
        left = Database(self.now_us, 0.0)
        left.copy_of(self.database)
        left.is_read_only = True
        left.is_in_recovery = old == "in recovery"
        for session in list(self._sessions):
            session.stay_behind(left)
            if session.ended is None:
                del self._sessions[session]
                self._left_behind[session] = None
