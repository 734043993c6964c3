"""The usual store: one SQLite file, which several processes of a machine may share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiosqlite

from bandit_sdk.learning.store import ArmCounts, ArmKey, Change, accept, named_observations, summed

_PATIENCE: Final = 30.0
_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS arms (
    learner TEXT NOT NULL, state TEXT NOT NULL, arm TEXT NOT NULL,
    selections INTEGER NOT NULL, observations INTEGER NOT NULL, successes INTEGER NOT NULL, failures INTEGER NOT NULL,
    PRIMARY KEY (learner, state, arm)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS observations (
    learner TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (learner, id)
) STRICT, WITHOUT ROWID
"""
_ADD: Final = """
INSERT INTO arms VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    selections = selections + excluded.selections, observations = observations + excluded.observations,
    successes = successes + excluded.successes, failures = failures + excluded.failures
"""
_CHOSEN: Final = "learner = :learner AND (:arm IS NULL OR arm = :arm) AND (:state IS NULL OR state = :state)"
_DECAY: Final = f"""
UPDATE arms SET
    successes = CAST(successes * :factor + 0.5 AS INTEGER), failures = CAST(failures * :factor + 0.5 AS INTEGER)
WHERE {_CHOSEN}
"""  # noqa: S608 (all of it is written here)
_COUNTS: Final = f"SELECT state, arm, selections, observations, successes, failures FROM arms WHERE {_CHOSEN}"  # noqa: S608


class SqliteLearningStore:
    """Keeps counts in an SQLite file in WAL mode, for one event loop; not on a network file system.

    Each step is a transaction that begins by taking the write lock; while another process holds it, this one waits up
    to 30 seconds. A committed step survives the end of the process; the last ones may be lost when the machine fails.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._open: aiosqlite.Connection | None = None
        # Tasks share the connection, and with it its transaction.
        self._turn = asyncio.Lock()

    async def initialize(self) -> None:
        async with self._turn:
            if self._open is not None:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connecting = aiosqlite.connect(self._path, timeout=_PATIENCE, isolation_level=None)
            # The interpreter would wait at its end for the thread of a store that nobody has closed.
            connecting._thread.daemon = True  # noqa: SLF001 (there is no other way to say so)
            connection = await connecting
            try:
                await _prepare(connection)
            except BaseException:
                await connection.close()
                raise
            self._open = connection

    async def add(self, learner: str, changes: Sequence[Change]) -> list[bool]:
        async with self._transaction() as connection:
            unknown = [name for name in named_observations(changes) if await _remember(connection, learner, name)]
            accepted = accept(changes, unknown)
            rows = [
                (learner, *key, each.selections, each.observations, each.successes, each.failures)
                for key, each in summed(changes, accepted).items()
            ]
            await connection.executemany(_ADD, rows)
        return accepted

    async def counts(self, learner: str, state: str | None = None) -> dict[ArmKey, ArmCounts]:
        async with self._turn:
            rows = await self._connection.execute_fetchall(_COUNTS, {"learner": learner, "arm": None, "state": state})
        return {ArmKey(row[0], row[1]): ArmCounts(*row[2:]) for row in rows}

    async def decay(self, learner: str, factor: float, arm: str | None = None, state: str | None = None) -> None:
        async with self._transaction() as connection:
            chosen = {"learner": learner, "arm": arm, "state": state, "factor": factor}
            await connection.execute(_DECAY, chosen)

    async def reset(self, learner: str, arm: str | None = None, state: str | None = None) -> None:
        async with self._transaction() as connection:
            chosen = {"learner": learner, "arm": arm, "state": state}
            await connection.execute(f"DELETE FROM arms WHERE {_CHOSEN}", chosen)  # noqa: S608 (all of it is written here)
            if arm is state is None:
                await connection.execute("DELETE FROM observations WHERE learner = ?", (learner,))

    async def close(self) -> None:
        async with self._turn:
            if self._open is not None:
                await self._open.close()
                self._open = None

    @property
    def _connection(self) -> aiosqlite.Connection:
        if self._open is None:
            raise RuntimeError("the store is not open: call `await store.initialize()` first")
        return self._open

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._turn:
            connection = self._connection
            await connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")


async def _prepare(connection: aiosqlite.Connection) -> None:
    await connection.execute("PRAGMA journal_mode = WAL")
    await connection.execute("PRAGMA synchronous = NORMAL")
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    if version > _VERSION:
        raise RuntimeError(f"the file was written by a newer version of bandit-sdk (format {version}): use that one")
    if version < _VERSION:
        await connection.executescript(f"BEGIN IMMEDIATE; {_TABLES}; PRAGMA user_version = {_VERSION}; COMMIT")


async def _remember(connection: aiosqlite.Connection, learner: str, observation: str) -> bool:
    """Write an observation down; return whether it was unknown."""
    cursor = await connection.execute("INSERT OR IGNORE INTO observations VALUES (?, ?)", (learner, observation))
    return cursor.rowcount == 1
