"""What policies would have earned, as estimated from logs outside the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from bandit_service.ledger.pool import Pool, connected, statement


class EvaluationsRepository:
    """Keeps evaluations. Its method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def replace(self, experiment_id: str, dataset: str, digest: str, results: Sequence[dict[str, Any]]) -> None:
        """Put an evaluation in the place of the one before of the same data set. `digest` is that of the data."""
        parameters = {"experiment_id": experiment_id, "dataset": dataset}
        async with connected(self._pool) as connection:
            await connection.execute(statement("delete_evaluation"), parameters)
            kept = {"digest": digest, "results": Jsonb(list(results))}
            await connection.execute(statement("insert_evaluation"), parameters | kept)
