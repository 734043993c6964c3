"""Transactions that a test steps through by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
from msgspec.structs import replace

from bandit_service.domain.event import Event, Row
from bandit_service.ledger.pool import LedgerConnection, numbered_statement, statement

from .ledgers import TIMELINE, Ledger
from .random_events import EXPERIMENTS, START_MS

EXPERIMENT: Final = EXPERIMENTS[0]
HELD: Final[dict[str, Any]] = {"experiment_id": EXPERIMENT.id, "holder": "p0", "token": 1}
TURN: Final[dict[str, Any]] = {**HELD, "timeline": TIMELINE}


def event(decision_id: str = "d", **fields: Any) -> Event:
    given = Event(
        EXPERIMENT.id, decision_id, "decision", START_MS, START_MS, 0, "bandit", counted=True, weights_version=1
    )
    return replace(given, **fields)


async def decisions_counted(ledger: Ledger) -> int:
    [(counted, _)] = (await ledger.totals.changed([EXPERIMENT.id])).values()
    return counted


class Transaction:
    """A transaction on a connection of its own."""

    def __init__(self, ledger: Ledger, connection: LedgerConnection) -> None:
        self.connection = connection
        self._ledger = ledger

    async def do(self, statement_name: str, /, **parameters: Any) -> list[Any] | int:
        """Execute a named statement; return its rows, or how many it changed."""
        cursor = await self.connection.execute(statement(statement_name), parameters)
        return await cursor.fetchall() if cursor.description else cursor.rowcount

    async def insert(self, *events: Event, batch: int = 1) -> int:
        """Execute the batch statement; return how many events were new."""
        rows = [Row(batch, place, event) for place, event in enumerate(events)]
        insert, parameters = numbered_statement("insert_batch"), self._ledger.writer._parameters(rows, TIMELINE)
        cursor = self.connection.raw_cursor()
        await cursor.execute(insert.text, [parameters[name] for name in insert.names])
        [(_, batches, *_)] = await cursor.fetchall()
        return len(batches or ())

    async def commit(self) -> None:
        await self.connection.execute("COMMIT")

    async def roll_back(self) -> None:
        await self.connection.execute("ROLLBACK")


@asynccontextmanager
async def begun(ledger: Ledger, *, seconds: float = 10.0, idle_seconds: float = 10.0) -> AsyncIterator[Transaction]:
    """Begin a transaction; what is left of it at the end is rolled back, if the server is still there."""
    async with ledger.pool.connection() as connection:
        settings = (round(seconds * 1_000), round(idle_seconds * 1_000))
        await connection.execute(
            b"BEGIN; SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d" % settings
        )
        try:
            yield Transaction(ledger, connection)
        finally:
            if not connection.closed:
                with suppress(psycopg.OperationalError):
                    await connection.execute("ROLLBACK")


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Start something that has to wait, and see that it does."""
    task = asyncio.create_task(work)
    try:
        await asyncio.sleep(0.2)
        assert not task.done()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
