"""The weights in force and their history, published by whoever holds the lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bandit_core.allocation import Explanation
from bandit_core.rules.allocation_record import AllocationRecord, decode_allocation, encode_allocation
from bandit_service.ledger.leases import Lease, lock
from bandit_service.ledger.pool import Pool, connected, statement

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Explained:
    """Weights in force, and why they are what they are."""

    record: AllocationRecord
    explanation: dict[str, Any]


class WeightsRepository:
    """The weights. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def publish(self, lease: Lease, record: AllocationRecord, explanation: Explanation) -> AllocationRecord:
        """Put weights into force; return them with the version and token they were given.

        Raises:
            FencedError: the lease has gone to another process.
        """
        record = msgspec.structs.replace(record, token=lease.token)
        parameters = {
            "experiment_id": lease.experiment_id,
            "record": encode_allocation(record).decode(),
            "explanation": _encode(explanation.to_dict()).decode(),
            "summary": explanation.paragraph(),
        }
        async with connected(self._pool) as connection:
            await lock(connection, lease)
            # A statement of its own: one that waits for the lock does not see what was published meanwhile.
            cursor = await connection.execute(statement("publish_weights"), parameters)
            (version,) = await cursor.fetchone() or (0,)
        return msgspec.structs.replace(record, version=version)

    async def explained(self, experiment_ids: Sequence[str]) -> dict[str, Explained]:
        """Return the weights in force and their explanation, of those experiments that have any."""
        parameters = {"experiment_ids": list(experiment_ids)}
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("weights_with_explanation"), parameters)
            return {
                name: Explained(decode_allocation(record), explanation)
                for name, record, explanation in await cursor.fetchall()
            }
