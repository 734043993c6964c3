"""Whether the totals are the sums of their events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from bandit_service.ledger.partitions import Day
from bandit_service.ledger.pool import Pool, connected, statement

_SECONDS: Final = 3_600.0
_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)


class Difference(NamedTuple):
    """A key of arm_totals, and what its totals have more than the sum of its events."""

    experiment_id: str
    arm_index: int
    stratum: str
    segment: str
    weights_version: int
    decisions: int
    rewards: int
    reward_micro: int
    square_micro: int


class Agreement:
    """Compares. Methods raise PostgresUnavailableError while Postgres is away, or takes more than an hour."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def differences(self) -> list[Difference]:
        """Return the keys whose totals are not the sum of their events."""
        since = await self._folded_to()
        found = await self._compare(since)
        # An event that came after its day was folded is no difference.
        return await self._compare(_EVER) if found and since > _EVER else found

    async def fold(self, day: Day, before: Day | None) -> None:
        """Keep the sums of all events after those of the day before, None if there is none, until the end of a day.

        Nothing is added to them any more.
        """
        parameters = {"day": day.on, "start": _EVER if before is None else before.end, "end": day.end}
        async with connected(self._pool, timeout=_SECONDS) as connection:
            await connection.execute(statement("fold_day"), parameters)

    async def folded(self) -> Day | None:
        """Return the newest day whose sums are kept."""
        async with connected(self._pool) as connection:
            [day] = await (await connection.execute("SELECT max(day) FROM folded_days")).fetchone() or [None]
            return None if day is None else Day(day)

    async def _folded_to(self) -> datetime:
        day = await self.folded()
        return _EVER if day is None else day.end

    async def _compare(self, since: datetime) -> list[Difference]:
        async with connected(self._pool, timeout=_SECONDS) as connection:
            cursor = await connection.execute(statement("compare_totals"), {"since": since})
            return [Difference(*row) for row in await cursor.fetchall()]
