"""Experiments in Postgres, where they are true: every change is one transaction with its reason beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_service.ledger.pool import Pool, connected, statement

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Experiment).decode


class AlreadyExistsError(Exception):
    """There is an experiment of that id."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Who makes a change, when and why."""

    who: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Change:
    """A change as it was recorded."""

    revision: int
    changed_at: datetime
    who: str
    why: str
    change: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Which experiments to list: those that match, after an id, in the order of the ids."""

    limit: int
    namespace: str | None = None
    status: str | None = None
    after: str | None = None


class ExperimentsRepository:
    """The experiments. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, experiment_id: str) -> Experiment | None:
        async with connected(self._pool) as connection:
            return await _read(connection, "experiment", experiment_id)

    async def search(self, page: Page) -> list[Experiment]:
        parameters = {
            "limit": page.limit,
            "namespace": page.namespace,
            "status": page.status,
            "after": page.after,
        }
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("list_experiments"), parameters)
            return [_decode(definition) for (definition,) in await cursor.fetchall()]

    async def revisions(self) -> dict[str, int]:
        """Return the revision of every experiment, for finding mirrors that are behind."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("experiment_revisions"))
            return dict(await cursor.fetchall())

    async def create(self, experiment: Experiment, reason: Reason, *, unit_salt: bytes) -> Experiment:
        """Insert an experiment and return it with its namespace's salt, which is `unit_salt` if the namespace is new.

        Raises:
            AlreadyExistsError: the id is taken.
        """
        async with connected(self._pool) as connection:
            salt = await _namespace_salt(connection, experiment.namespace, unit_salt)
            experiment = msgspec.structs.replace(experiment, unit_salt=salt)
            cursor = await connection.execute(statement("insert_experiment"), _row(experiment, reason.at))
            if cursor.rowcount == 0:
                raise AlreadyExistsError(experiment.id)
            await connection.execute(statement("insert_lease"), {"experiment_id": experiment.id})
            await _put_arms(connection, experiment.id, experiment.arms)
            await _record(connection, experiment, reason, {"action": "create"})
        return experiment

    async def change(
        self,
        experiment_id: str,
        transition: Callable[[Experiment], Experiment],
        describe: Callable[[Experiment, Experiment], dict[str, Any]],
        reason: Reason,
    ) -> tuple[Experiment, bool] | None:
        """Apply a transition to an experiment that is locked meanwhile.

        Returns:
            The experiment as it is now, and whether it has changed: then its revision is one higher. None if there is
            no such experiment. What the transition raises, and everything else, leaves it untouched.
        """
        async with connected(self._pool) as connection:
            before = await _read(connection, "lock_experiment", experiment_id)
            if before is None:
                return None
            after = transition(before)
            if after == before:
                return before, False
            after = msgspec.structs.replace(after, revision=before.revision + 1)
            await connection.execute(statement("update_experiment"), _row(after, reason.at))
            known = set(before.arms)
            await _put_arms(connection, experiment_id, tuple(arm for arm in after.arms if arm not in known))
            await _record(connection, after, reason, describe(before, after))
        return after, True

    async def changes(self, experiment_id: str, *, limit: int, before: int | None = None) -> list[Change]:
        """Return what was changed, newest first."""
        parameters = {"experiment_id": experiment_id, "limit": limit, "before": before}
        async with connected(self._pool) as connection, connection.cursor(row_factory=class_row(Change)) as cursor:
            await cursor.execute(statement("experiment_changes"), parameters)
            return await cursor.fetchall()


async def _read(connection: AsyncConnection[Any], name: str, experiment_id: str) -> Experiment | None:
    cursor = await connection.execute(statement(name), {"id": experiment_id})
    row = await cursor.fetchone()
    return None if row is None else _decode(row[0])


async def _namespace_salt(connection: AsyncConnection[Any], name: str, unit_salt: bytes) -> str:
    await connection.execute(statement("insert_namespace"), {"name": name, "unit_salt": unit_salt})
    cursor = await connection.execute(statement("namespace_salt"), {"name": name})
    [salt] = await cursor.fetchone() or [""]
    return str(salt)


async def _put_arms(connection: AsyncConnection[Any], experiment_id: str, arms: tuple[ArmDefinition, ...]) -> None:
    if arms:
        async with connection.cursor() as cursor:
            rows = [{"experiment_id": experiment_id, **msgspec.structs.asdict(arm)} for arm in arms]
            await cursor.executemany(statement("put_arm"), rows)


async def _record(
    connection: AsyncConnection[Any], experiment: Experiment, reason: Reason, change: dict[str, Any]
) -> None:
    parameters = {
        "experiment_id": experiment.id,
        "revision": experiment.revision,
        "at": reason.at,
        "who": reason.who,
        "why": reason.why,
        "change": Jsonb(change),
    }
    await connection.execute(statement("insert_change"), parameters)


def _row(experiment: Experiment, at: float) -> dict[str, Any]:
    return {
        "id": experiment.id,
        "namespace": experiment.namespace,
        "status": experiment.status,
        "revision": experiment.revision,
        "winner": experiment.winner,
        "definition": _encode(experiment).decode(),
        "at": at,
    }
