"""A client's connection, as psycopg's: what the product calls of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, tuple_row

from ..link import ConnectionLostError, Link
from .session import Outcome, Parameters, Session
from .statements import Result

if TYPE_CHECKING:
    from psycopg.abc import Query

_NOTHING_YET: Final = Result(None, -1)

type _Work = Callable[[], Outcome | asyncio.Future[Outcome]]


class Notice(NamedTuple):
    """What a server says beside its answer."""

    severity_nonlocalized: str


type _NoticeHandler = Callable[[Any], None]


class ConnectionInfo:
    """What `connection.info` tells."""

    def __init__(self, connection: SimulatedConnection) -> None:
        self._connection = connection

    @property
    def transaction_status(self) -> TransactionStatus:
        return self._connection.status


class SimulatedConnection:
    """A connection over a link; one statement at a time."""

    def __init__(self, session: Session, link: Link) -> None:
        self.closed = False
        self.info = ConnectionInfo(self)
        self._session = session
        self._link = link
        self._status = TransactionStatus.IDLE
        self._task: asyncio.Task[Any] | None = None
        self._is_shut_down = False
        self._is_delivered = False
        self._notice_handlers: list[_NoticeHandler] = []
        self._together: list[tuple[SimulatedCursor, str, Parameters]] | None = None

    @property
    def status(self) -> TransactionStatus:
        if self.closed:
            return TransactionStatus.UNKNOWN
        return TransactionStatus.ACTIVE if self._task is not None else self._status

    def cursor(self, name: str = "", *, row_factory: Any = tuple_row) -> SimulatedCursor:  # noqa: ARG002
        # A cursor of the server's reads as of its beginning too, so it may as well have read everything.
        return SimulatedCursor(self, row_factory)

    def add_notice_handler(self, handler: _NoticeHandler) -> None:
        self._notice_handlers.append(handler)

    def remove_notice_handler(self, handler: _NoticeHandler) -> None:
        self._notice_handlers.remove(handler)

    async def cancel_safe(self, *, timeout: float) -> None:  # noqa: ASYNC109 (as psycopg's)
        """Ask the server, on a connection of its own, to cancel what it does for this one.

        Raises:
            psycopg.OperationalError: nobody has heard that in time.
        """
        server = self._session.server
        try:
            async with asyncio.timeout(timeout):
                await self._link.request()
                # A server that stands still does so later.
                server.when_thawed(self._session.cancel)
                await self._link.reply()
        except (TimeoutError, ConnectionLostError):
            raise psycopg.OperationalError("cancelling failed") from None

    def pipeline(self) -> SimulatedPipeline:
        """Return what sends what is executed within it together, as one transaction, in one round trip."""
        return SimulatedPipeline(self)

    async def send_together(self) -> None:
        """Send what has been kept, and let each cursor take what its statement returns."""
        together, self._together = self._together or [], None
        results: list[Result] = []
        statements = [(text, parameters) for _, text, parameters in together]
        await self.round_trip(lambda: self._session.run_all(statements, results))
        for (cursor, _, _), result in zip(together, results, strict=True):
            cursor.take(result)

    def keep_together(self, *, is_kept: bool) -> None:
        """Keep what is executed from now on, or forget what was kept."""
        self._together = [] if is_kept else None

    def send_later(self, cursor: SimulatedCursor, query: Query, parameters: Parameters) -> bool:
        """Keep a statement for the end of a pipeline; return whether there is one."""
        if self._together is None:
            return False
        self._together.append((cursor, str(query), parameters))
        return True

    def raw_cursor(self) -> SimulatedCursor:
        return SimulatedCursor(self, tuple_row)

    async def execute(self, query: Query, parameters: Parameters = None) -> SimulatedCursor:
        return await SimulatedCursor(self, tuple_row).execute(query, parameters)

    async def commit(self) -> None:
        if not self.closed and self._status is not TransactionStatus.IDLE:
            await self.execute("COMMIT")

    async def rollback(self) -> None:
        if not self.closed and self._status is not TransactionStatus.IDLE:
            await self.execute("ROLLBACK")

    async def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Close the connection. Its server hears of that if messages pass."""
        if not self.closed:
            self.closed = True
            if self._link.passes():
                self._session.disconnect()

    def die(self) -> None:
        """Close the connection, because the process is gone: its server hears of that, whatever the link does."""
        if not self.closed:
            self.closed = True
            self._session.disconnect()

    def shut_down(self) -> None:
        """Break the connection, for a server that does not answer: whoever waits for it gets an error."""
        if not self.closed:
            self.drop()
            if self._task is not None:
                self._is_shut_down = True
                self._task.cancel()

    async def round_trip(self, work: _Work) -> Result:
        """Have the server do something, and return what it returns.

        Raises:
            psycopg.Error: as the server says, or because the connection is lost: what was done is then unknown.
        """
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        if self._task is not None:
            raise psycopg.OperationalError("sending query failed: another command is already in progress")
        self._task = asyncio.current_task()
        try:
            outcome = await self._carry(work)
        except ConnectionLostError:
            self.drop()
            raise psycopg.OperationalError("consuming input failed: server closed the connection") from None
        except asyncio.CancelledError:
            if not self._is_shut_down:
                await self._cancelled(work)
                raise
            if self._task is not None and self._task.uncancel() > 0:
                raise
            raise psycopg.OperationalError("consuming input failed: the socket was shut down") from None
        finally:
            self._task = None
        if isinstance(outcome, psycopg.Error):
            raise outcome
        return outcome

    async def _carry(self, work: _Work) -> Outcome:
        self._is_delivered = False
        await self._link.request()
        self._is_delivered = True
        found = work()
        outcome = await found if isinstance(found, asyncio.Future) else found
        await self._link.reply(commits=self._session.has_unheard)
        self._heard()
        return outcome

    async def _cancelled(self, work: _Work) -> None:
        """Do as psycopg does with a statement whose caller was cancelled: cancel it, and hear what became of it.

        It has been sent before that. Only one that has to wait is still there to be cancelled.
        """
        if not self._link.passes() or self._session.server.is_frozen:
            # It would wait, and then close the connection.
            self.drop()
            return
        if not self._is_delivered:
            work()
        self._session.cancel()
        try:
            await self._link.reply()
        except (ConnectionLostError, asyncio.CancelledError):
            self.drop()
        self._heard()

    def _heard(self) -> None:
        self._session.heard()
        self._status = self._session.status
        if self._session.ended is not None:
            self.closed = True
        if self._session.warns:
            self._session.warns = False
            for handler in tuple(self._notice_handlers):
                handler(Notice("WARNING"))

    def statement(self, query: Query, parameters: Parameters) -> _Work:
        text = query.as_string(None) if isinstance(query, sql.Composable) else query
        session = self._session
        return lambda: session.run(text, parameters)  # type: ignore[arg-type]

    def statements(self, query: str, rows: Iterable[Parameters]) -> list[_Work]:
        return [self.statement(query, row) for row in rows]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await (self.commit() if kind is None else self.rollback())


class SimulatedPipeline:
    """Sends what is executed within it together at its end, and nothing after an exception."""

    __slots__ = ("_connection",)

    def __init__(self, connection: SimulatedConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        self._connection.keep_together(is_kept=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._connection.send_together()
        else:
            self._connection.keep_together(is_kept=False)


class SimulatedCursor:
    """A cursor: what a statement returned."""

    def __init__(self, connection: SimulatedConnection, row_factory: Any) -> None:
        self._connection = connection
        self._row_factory = row_factory
        self._rows: Sequence[Any] | None = None
        self._next = 0
        self.rowcount = -1
        self._result = _NOTHING_YET

    @property
    def description(self) -> tuple[str, ...] | None:
        return None if self._rows is None else self._result.columns or ("?column?",)

    async def execute(self, query: Query, parameters: Parameters = None) -> Self:
        if not self._connection.send_later(self, query, parameters):
            self.take(await self._connection.round_trip(self._connection.statement(query, parameters)))
        return self

    async def executemany(self, query: str, rows: Iterable[Parameters]) -> None:
        """Execute a statement for each row."""
        total = 0
        for work in self._connection.statements(query, rows):
            self.take(await self._connection.round_trip(work))
            total += self.rowcount
        self.rowcount = total

    async def fetchone(self) -> Any:
        page = self._page(1)
        return page[0] if page else None

    async def fetchall(self) -> list[Any]:
        return self._page(None)

    async def fetchmany(self, size: int = 1) -> list[Any]:
        return self._page(size)

    def take(self, result: Result) -> None:
        self._result, self._rows, self._next = result, result.rows, 0
        self.rowcount = result.rowcount

    def _page(self, size: int | None) -> list[Any]:
        if self._rows is None:
            raise psycopg.ProgrammingError("the last operation didn't produce records")
        end = None if size is None else self._next + size
        found = list(self._rows[self._next : end])
        self._next += len(found)
        if self._row_factory is tuple_row:
            return found
        make = self._row_factory
        names = self._result.columns
        if make is dict_row:
            return [dict(zip(names, row, strict=True)) for row in found]
        # class_row(C) returns a function of a cursor; the class is what that closes over.
        cls = make.__closure__[0].cell_contents
        return [cls(**dict(zip(names, row, strict=True))) for row in found]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return
