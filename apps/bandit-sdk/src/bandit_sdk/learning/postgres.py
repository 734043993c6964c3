"""A store in Postgres, for learners on several machines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bandit_sdk.learning.store import ArmChange, ArmCounts, ArmKey, accept, named_observations, summed
from bandit_sdk.processes import OneProcess

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS bandit_learner_arms (
    learner text NOT NULL, state text NOT NULL, arm text NOT NULL,
    selections bigint NOT NULL, observations bigint NOT NULL, successes bigint NOT NULL, failures bigint NOT NULL,
    PRIMARY KEY (learner, state, arm)
);
CREATE TABLE IF NOT EXISTS bandit_learner_observations (
    learner text NOT NULL, id text NOT NULL,
    PRIMARY KEY (learner, id)
)
"""
_REMEMBER: Final = """
INSERT INTO bandit_learner_observations SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING RETURNING id
"""
_ADD: Final = """
INSERT INTO bandit_learner_arms AS known VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (learner, state, arm) DO UPDATE SET
    selections = known.selections + excluded.selections, observations = known.observations + excluded.observations,
    successes = known.successes + excluded.successes, failures = known.failures + excluded.failures
"""
_CHOSEN: Final = """
learner = %(learner)s AND (%(arm)s::text IS NULL OR arm = %(arm)s) AND (%(state)s::text IS NULL OR state = %(state)s)
"""
# Rows are locked in the order in which they are added to, or two writers could wait for each other.
_HOLD: Final = f"""
SELECT FROM bandit_learner_arms WHERE {_CHOSEN} ORDER BY state COLLATE "C", arm COLLATE "C" FOR UPDATE
"""
_DECAY: Final = f"""
UPDATE bandit_learner_arms SET
    successes = floor(successes * %(factor)s::float8 + 0.5)::bigint,
    failures = floor(failures * %(factor)s::float8 + 0.5)::bigint
WHERE {_CHOSEN}
"""  # noqa: S608 (all of it is written here)
_RESET: Final = f"DELETE FROM bandit_learner_arms WHERE {_CHOSEN}"  # noqa: S608 (all of it is written here)
_COUNTS: Final = f"""
SELECT state, arm, selections, observations, successes, failures FROM bandit_learner_arms WHERE {_CHOSEN}
"""  # noqa: S608 (all of it is written here)
_LOCK: Final = 0x62616E646974
"""The word "bandit" as a number: two programs must not create the tables at the same moment."""


class PostgresLearningStore:
    """Keeps counts in two tables of the database that the pool leads to; each step is a transaction.

    Needs the extra `bandit-sdk[postgres]`. The pool stays the caller's: `close` leaves it open. A process that was
    forked after the first step needs a pool and a store of its own; this one refuses every step there.
    """

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Any]]) -> None:
        self._pool = pool
        self._owner = OneProcess()

    async def initialize(self) -> None:
        async with self._connection() as connection, connection.transaction():
            encoding = connection.info.parameter_status("server_encoding")
            if encoding not in (None, "UTF8"):
                raise RuntimeError(f"the encoding of the database is {encoding}: use one in UTF8")
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            await connection.execute(_TABLES)

    async def add(self, learner: str, changes: Sequence[ArmChange]) -> list[bool]:
        async with self._connection() as connection, connection.transaction():
            unknown = await _remember(connection, learner, named_observations(changes))
            accepted = accept(changes, unknown)
            rows = [
                (learner, *key, each.selections, each.observations, each.successes, each.failures)
                for key, each in summed(changes, accepted).items()
            ]
            async with connection.cursor() as cursor:
                await cursor.executemany(_ADD, rows)
        return accepted

    async def counts(self, learner: str, state: str | None = None) -> dict[ArmKey, ArmCounts]:
        async with self._connection() as connection:
            found = await connection.execute(_COUNTS, {"learner": learner, "arm": None, "state": state})
            return {ArmKey(row[0], row[1]): ArmCounts(*row[2:]) for row in await found.fetchall()}

    async def decay(self, learner: str, factor: float, arm: str | None = None, state: str | None = None) -> None:
        async with self._connection() as connection, connection.transaction():
            chosen = {"learner": learner, "arm": arm, "state": state, "factor": factor}
            await connection.execute(_HOLD, chosen)
            await connection.execute(_DECAY, chosen)

    async def reset(self, learner: str, arm: str | None = None, state: str | None = None) -> None:
        async with self._connection() as connection, connection.transaction():
            chosen = {"learner": learner, "arm": arm, "state": state}
            await connection.execute(_HOLD, chosen)
            await connection.execute(_RESET, chosen)
            if arm is state is None:
                await connection.execute("DELETE FROM bandit_learner_observations WHERE learner = %s", (learner,))

    async def close(self) -> None:
        """Do nothing: the pool is the caller's."""

    def _connection(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        self._owner.use("the pool of connections")
        return self._pool.connection()


async def _remember(connection: AsyncConnection[Any], learner: str, observations: Sequence[str]) -> list[str]:
    """Write observations down; return those that were unknown."""
    if not observations:
        return []
    found = await connection.execute(_REMEMBER, (learner, observations))
    return [row[0] for row in await found.fetchall()]
