"""The claims on ids of callers' own."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import structlog

from bandit_service.ledger.arrays import TEXT, packed
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.pool import Pool, in_one_trip, numbered_statement

log = structlog.get_logger(__name__)


class _Asked(NamedTuple):
    experiment_id: str
    own_id: str
    claim: asyncio.Future[str | None]


class OwnIdsRepository:
    """Reads claims, all that are asked for meanwhile with one statement.

    They are written by the statement that inserts their events.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked: list[_Asked] = []
        self._reading: asyncio.Task[None] | None = None

    async def read(self, experiment_id: str, own_id: str) -> str | None:
        """Return the claim on an own id as JSON text, None without one.

        Raises:
            PostgresUnavailableError: Postgres is away.
        """
        asked = _Asked(experiment_id, own_id, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        return await asked.claim

    async def _read_all(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            try:
                found = await self._read(asked)
            except PostgresUnavailableError as error:
                _fail(asked, error)
                continue
            except Exception:
                # Whatever it is: the callers must not wait indefinitely.
                log.exception("reading_own_ids_failed")
                _fail(asked, PostgresUnavailableError("the claims could not be read"))
                continue
            for place, each in enumerate(asked):
                if not each.claim.done():
                    each.claim.set_result(found.get(place))

    async def _read(self, asked: list[_Asked]) -> dict[int, str]:
        parameters = {
            "experiment_id": packed(TEXT, [each.experiment_id for each in asked]),
            "own_id": packed(TEXT, [each.own_id for each in asked]),
        }
        rows = await in_one_trip(self._pool, numbered_statement("own_claims"), parameters)
        return {place: claim for place, _, claim in rows}


def _fail(asked: list[_Asked], error: PostgresUnavailableError) -> None:
    for each in asked:
        if not each.claim.done():
            each.claim.set_exception(error)
