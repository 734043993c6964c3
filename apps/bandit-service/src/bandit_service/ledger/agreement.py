"""Whether the totals, and the periods of the weights, are the sums of their events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import reduce
from operator import add
from typing import Final, NamedTuple

from bandit_service.domain.weight_periods import Rewards, VersionRewards, VersionSums
from bandit_service.ledger.partitions import Day
from bandit_service.ledger.pool import Pool, connected, statement
from bandit_service.ledger.weight_periods import VersionKey, WeightPeriodsRepository

_SECONDS: Final = 3_600.0
_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)


class Difference(NamedTuple):
    """A key of arm_totals, all versions together, and what its totals have more than the sum of its events."""

    experiment_id: str
    arm_index: int
    stratum: str
    segment: str
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

    async def unequal_periods(self) -> list[str]:
        """Return the experiments whose periods are not the sums of what was folded into them.

        Those are left out of which a version is no longer known: retention deletes old ones.
        """
        since = await self._folded_to()
        found = await self._compare_periods(since)
        return await self._compare_periods(_EVER) if found and since > _EVER else found

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

    async def _compare_periods(self, since: datetime) -> list[str]:
        async with connected(self._pool, timeout=_SECONDS) as connection:
            rows = await (await connection.execute(statement("compare_periods"), {"since": since})).fetchall()
        rewards: dict[VersionKey, VersionRewards] = defaultdict(VersionRewards)
        periods: dict[str, list[VersionSums]] = defaultdict(list)
        for name, version, arm_index, stratum, count, total, squares, document in rows:
            if document is None:
                rewards[VersionKey(name, version)].add(stratum, arm_index, Rewards(count, total, int(squares)))
            else:
                periods[name].append(VersionSums.decoded(document))
        known = await WeightPeriodsRepository(self._pool).weights(list(rewards))
        wanted: dict[str, list[VersionSums]] = defaultdict(list)
        for key, each in rewards.items():
            wanted[key.experiment_id].append(VersionSums.of(each, known[key]))
        unknown = {key.experiment_id for key, found in known.items() if found.weights is None}
        names = (periods.keys() | wanted.keys()) - unknown
        return sorted(name for name in names if not _is_sum(wanted[name], periods[name]))


def _is_sum(wanted: Iterable[VersionSums], there: Iterable[VersionSums]) -> bool:
    """Say whether both add up to the same; sums of nothing are equal to none."""
    first, second = ([each for each in sums if any(each.arms.count)] for sums in (wanted, there))
    if not first or not second:
        return not first and not second
    return reduce(add, first).is_same(reduce(add, second))
