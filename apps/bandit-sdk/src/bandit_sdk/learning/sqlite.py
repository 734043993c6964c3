"""The usual store: one SQLite file, which several processes of a machine may share."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

from bandit_sdk.learning.store import ArmChange, ArmCounts, ArmKey, accept, named_observations, summed
from bandit_sdk.processes import OneProcess, PerProcess

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
_RESET: Final = f"DELETE FROM arms WHERE {_CHOSEN}"  # noqa: S608
_COUNTS: Final = f"SELECT state, arm, selections, observations, successes, failures FROM arms WHERE {_CHOSEN}"  # noqa: S608


class SqliteLearningStore:
    """Keeps counts in an SQLite file in WAL mode, for one event loop; not on a network file system.

    Each step is a transaction that begins by taking the write lock; while another process holds it, this one waits up
    to 30 seconds. A committed step survives the end of the process; the last ones may be lost when the machine fails.
    A step whose call is cancelled is still done as a whole if it has begun, and not at all otherwise.

    The file is opened with the first step. A process that is forked later is refused every step: the locks of the file
    are its parent's, and SQLite would take them for its own.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._is_ready = False
        self._open: sqlite3.Connection | None = None
        self._owner = OneProcess()
        # One thread takes the steps one after the other. A step awaits nothing, so cancelling a call cannot end in the
        # middle of a transaction.
        self._thread = PerProcess(lambda: ThreadPoolExecutor(1, thread_name_prefix="sqlite-learning-store"))

    async def initialize(self) -> None:
        await self._run(self._initialize)

    async def add(self, learner: str, changes: Sequence[ArmChange]) -> list[bool]:
        return await self._run(lambda: self._add(learner, changes))

    async def counts(self, learner: str, state: str | None = None) -> dict[ArmKey, ArmCounts]:
        return await self._run(lambda: self._counts(learner, state))

    async def decay(self, learner: str, factor: float, arm: str | None = None, state: str | None = None) -> None:
        await self._run(lambda: self._decay(learner, factor, arm, state))

    async def reset(self, learner: str, arm: str | None = None, state: str | None = None) -> None:
        await self._run(lambda: self._reset(learner, arm, state))

    async def close(self) -> None:
        await self._run(self._close)

    async def _run[T](self, step: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread.get(), step)

    def _initialize(self) -> None:
        if self._is_ready:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connected()) as connection:
            _prepare(connection)
        self._is_ready = True

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _add(self, learner: str, changes: Sequence[ArmChange]) -> list[bool]:
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            unknown = [name for name in named_observations(changes) if _remember(connection, learner, name)]
            accepted = accept(changes, unknown)
            rows = [
                (learner, *key, each.selections, each.observations, each.successes, each.failures)
                for key, each in summed(changes, accepted).items()
            ]
            connection.executemany(_ADD, rows)
        return accepted

    def _counts(self, learner: str, state: str | None) -> dict[ArmKey, ArmCounts]:
        rows = self._connection.execute(_COUNTS, {"learner": learner, "arm": None, "state": state}).fetchall()
        return {ArmKey(row[0], row[1]): ArmCounts(*row[2:]) for row in rows}

    def _decay(self, learner: str, factor: float, arm: str | None, state: str | None) -> None:
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_DECAY, {"learner": learner, "arm": arm, "state": state, "factor": factor})

    def _reset(self, learner: str, arm: str | None, state: str | None) -> None:
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_RESET, {"learner": learner, "arm": arm, "state": state})
            if arm is state is None:
                connection.execute("DELETE FROM observations WHERE learner = ?", (learner,))

    def _close(self) -> None:
        if self._open is not None:
            self._owner.use(str(self._path))
            self._open.close()
            self._open = None
            self._owner.leave()
        self._is_ready = False

    @property
    def _connection(self) -> sqlite3.Connection:
        if not self._is_ready:
            raise RuntimeError("the store is not open: call `await store.initialize()` first")
        self._owner.use(str(self._path))
        if self._open is None:
            self._open = self._connected()
        return self._open


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    [(version,)] = connection.execute("PRAGMA user_version")
    if version > _VERSION:
        raise RuntimeError(f"the file was written by a newer version of bandit-sdk (format {version}): use that one")
    if version < _VERSION:
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES}; PRAGMA user_version = {_VERSION}; COMMIT")


def _remember(connection: sqlite3.Connection, learner: str, observation: str) -> bool:
    """Write an observation down; return whether it was unknown."""
    return connection.execute("INSERT OR IGNORE INTO observations VALUES (?, ?)", (learner, observation)).rowcount == 1
