"""Ids that callers give: who claims one first, wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from bandit_service.mirror.connection import translated

# In place of an answer: the id may have been given, and only the ledger knows to which decision.
UNSURE: Final = b""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: the key it stands under (`ExperimentKeys.own` or `.request`), and what was answered."""

    key: str
    answer: bytes


class OwnIds:
    """Claims in the store. Every method may raise StoreUnavailableError or StoreFullError.

    The store decides only while Postgres is away: otherwise the ledger does, and its winner overwrites the claim.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def claim(self, claims: Sequence[Claim], *, seconds: float) -> list[bytes]:
        """Claim each id unless it is claimed; return for each the answer that holds, one's own or the first one's.

        Args:
            claims: What is claimed.
            seconds: How long the claims are kept.
        """
        life = max(1, round(seconds * 1_000))
        with translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for each in claims:
                    pipe.set(each.key, each.answer, nx=True, px=life)
                    pipe.get(each.key)
                answers = await pipe.execute()
        # One that ran out between the two commands was one's own, or has no owner any more.
        return [each.answer if found is None else found for each, found in zip(claims, answers[1::2], strict=True)]

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the answer that each id is claimed for; None where it is not."""
        with translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.get(key)
                return list(await pipe.execute())

    async def overwrite(self, claims: Sequence[Claim], *, seconds: float) -> None:
        """Put the ledger's winners in the place of whatever is claimed."""
        life = max(1, round(seconds * 1_000))
        with translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for each in claims:
                    pipe.set(each.key, each.answer, px=life)
                await pipe.execute()
