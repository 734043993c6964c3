"""The weights in force and their history, published by the lease-holder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bandit_core.allocation import Explanation
from bandit_core.rules.allocation_record import AllocationRecord, decode_allocation, encode_allocation
from bandit_service.domain.assessment import Assessment, encode_assessment
from bandit_service.ledger.arrays import BIGINT, FLOAT, TEXT, packed
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.pool import Pool, connected, in_one_trip, numbered_statement, statement

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class NewWeights:
    """Weights to be put into force under a lease, with their explanation as JSON and in words, and what is believed.

    `holdout` is the share of units that get the control while they are in force.
    """

    lease: Lease
    record: AllocationRecord
    explanation: bytes
    summary: str
    assessment: bytes
    holdout: float = 0.0

    @classmethod
    def of(
        cls,
        lease: Lease,
        record: AllocationRecord,
        explanation: Explanation,
        assessment: Assessment = Assessment(),  # noqa: B008 (frozen)
        *,
        holdout: float = 0.0,
    ) -> NewWeights:
        record = msgspec.structs.replace(record, token=lease.token)
        encoded = _encode(explanation.to_dict())
        return cls(lease, record, encoded, explanation.paragraph(), encode_assessment(assessment), holdout)


@dataclass(frozen=True, slots=True)
class Explained:
    """Weights in force, and why they are what they are."""

    record: AllocationRecord
    explanation: dict[str, Any]


class WeightsRepository:
    """The weights. Every method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def publish(self, new: Sequence[NewWeights]) -> dict[str, AllocationRecord]:
        """Put weights of different experiments into force; return them with the version and token they were given.

        Experiments whose lease has gone to another process are left out.
        """
        if not new:
            return {}
        parameters = {
            "experiment_id": packed(TEXT, [each.lease.experiment_id for each in new]),
            "holder": packed(TEXT, [each.lease.holder for each in new]),
            "token": packed(BIGINT, [each.lease.token for each in new]),
            "record": packed(TEXT, [encode_allocation(each.record).decode() for each in new]),
            "explanation": packed(TEXT, [each.explanation.decode() for each in new]),
            "summary": packed(TEXT, [each.summary for each in new]),
            "assessment": packed(TEXT, [each.assessment.decode() for each in new]),
            "holdout": packed(FLOAT, [each.holdout for each in new]),
        }
        rows = await in_one_trip(self._pool, numbered_statement("publish_weights"), parameters)
        versions: dict[str, int] = dict(rows)
        return {
            name: msgspec.structs.replace(each.record, version=versions[name])
            for each in new
            if (name := each.lease.experiment_id) in versions
        }

    async def explained(self, experiment_ids: Sequence[str]) -> dict[str, Explained]:
        """Return the weights in force and their explanation, of those experiments that have any."""
        parameters = {"experiment_ids": list(experiment_ids)}
        async with connected(self._pool) as connection:
            cursor = await connection.execute(statement("weights_with_explanation"), parameters)
            return {
                name: Explained(decode_allocation(record), explanation)
                for name, record, explanation in await cursor.fetchall()
            }
