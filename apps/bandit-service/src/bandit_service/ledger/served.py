"""What processes hold in memory of experiments: definitions with the weights in force, and which have changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bandit_core.rules.allocation_record import AllocationRecord, decode_allocation
from bandit_core.rules.experiment import Experiment
from bandit_service.ledger.pool import Pool, connected, in_one_trip, numbered_statement, statement

PAGE: Final = 200
_decode = msgspec.json.Decoder(Experiment).decode


@dataclass(frozen=True, slots=True)
class Stored:
    """A definition with the weights in force."""

    experiment: Experiment
    allocation: AllocationRecord | None


@dataclass(frozen=True, slots=True)
class Changes:
    """The (revision, weights version) of experiments that have changed; Postgres's time (s) and timeline."""

    now: float
    timeline: str
    versions: dict[str, tuple[int, int]]


class ServedRepository:
    """Reads for the memory of processes. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, experiment_ids: Sequence[str]) -> list[Stored]:
        """Return those of the experiments that exist."""
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("served"), {"experiment_ids": list(experiment_ids)})
            return [_stored(*row) for row in await cursor.fetchall()]

    async def pages(self) -> AsyncIterator[list[Stored]]:
        """Yield every experiment that is not archived, a page at a time."""
        after = ""
        while True:
            async with connected(self._pool) as connection:
                cursor = await connection.execute(statement("served_page"), {"after": after, "limit": PAGE})
                page = [_stored(*row) for row in await cursor.fetchall()]
            if page:
                yield page
                after = page[-1].experiment.id
            if len(page) < PAGE:
                return

    async def changes(self, since: float) -> Changes:
        """Return which experiments have changed since a time (s)."""
        rows = await in_one_trip(self._pool, numbered_statement("served_changes"), {"since": since})
        [(now, timeline, names, revisions, versions)] = rows
        pairs = zip(revisions or (), versions or (), strict=True)
        return Changes(now, timeline, dict(zip(names or (), pairs, strict=True)))


def _stored(definition: str, record: str | None) -> Stored:
    return Stored(_decode(definition), None if record is None else decode_allocation(record))
