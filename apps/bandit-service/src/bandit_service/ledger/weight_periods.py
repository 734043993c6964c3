"""Versions of the weights that are over, folded into periods by whoever holds the lease."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection

from bandit_service.domain.weight_periods import (
    Period,
    Rewards,
    VersionRewards,
    VersionWeights,
    folded,
)
from bandit_service.ledger.arrays import BIGINT, FLOAT, TEXT, packed
from bandit_service.ledger.leases import FencedError, Lease
from bandit_service.ledger.pool import Pool, connected, in_one_trip, numbered_statement, statement

_TIMEOUT: Final = 10.0
MOST_VERSIONS: Final = 300
"""How many versions one fold takes, so that it holds its locks for a short while."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The periods of an experiment in the order of versions, and how often versions were folded into them."""

    folds: int = 0
    periods: tuple[Period, ...] = ()


class VersionKey(NamedTuple):
    """What names a version of the weights."""

    experiment_id: str
    version: int


class WeightPeriodsRepository:
    """The periods in Postgres. Methods raise PostgresUnavailableError while it is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, experiment_ids: Sequence[str]) -> dict[str, Periods]:
        """Return the periods of experiments, each as of the same moment as the number of its folds."""
        if not experiment_ids:
            return {}
        parameters = {"experiment_ids": packed(TEXT, experiment_ids)}
        return _periods_of(await in_one_trip(self._pool, numbered_statement("weight_periods"), parameters))

    async def weights(self, versions: Sequence[VersionKey]) -> dict[VersionKey, VersionWeights]:
        """Return the weights of versions, and when they were in force."""
        if not versions:
            return {}
        rows = await in_one_trip(self._pool, numbered_statement("version_weights"), _named(versions))
        return dict(map(_version_of, rows))

    async def fold(self, lease: Lease, known: Periods | None = None) -> Periods | None:
        """Fold the oldest versions before the one in force into periods; return these, None if there was nothing to do.

        The totals of all versions together stay what they are.

        Args:
            lease: Of the experiment.
            known: What this process remembers of the periods. They are read if that is not the newest.

        Raises:
            FencedError: the lease has gone to another process. Nothing was written.
            PostgresUnavailableError: also if it is unknown what was written.
        """
        async with connected(self._pool, timeout=_TIMEOUT) as connection:
            folds = await _lock(connection, lease)
            taken = await _take(connection, lease.experiment_id)
            if not taken:
                return None
            if known is None or known.folds != folds:
                known = await _read(connection, lease.experiment_id)
            versions = [VersionKey(lease.experiment_id, version) for version in taken]
            cursor = await connection.execute(statement("version_weights"), _named(versions))
            weights = {key.version: found for key, found in map(_version_of, await cursor.fetchall())}
            periods = folded(known.periods, taken, weights)
            return Periods(await _save(connection, lease.experiment_id, known.periods, periods), periods)


async def _lock(connection: AsyncConnection[Any], lease: Lease) -> int:
    parameters = {"experiment_id": lease.experiment_id, "holder": lease.holder, "token": lease.token}
    row = await (await connection.execute(statement("lock_folds"), parameters)).fetchone()
    if row is None:
        raise FencedError(lease.experiment_id)
    return int(row[0])


async def _take(connection: AsyncConnection[Any], experiment_id: str) -> dict[int, VersionRewards]:
    """Take rewards by version out of the totals; they are empty for a version that had decisions only."""
    parameters = {"experiment_id": experiment_id, "most": MOST_VERSIONS}
    cursor = await connection.execute(statement("take_versions"), parameters)
    found: dict[int, VersionRewards] = defaultdict(VersionRewards)
    for arm_index, stratum, _, version, _, count, total, squares in await cursor.fetchall():
        found[version].add(stratum, arm_index, Rewards(count, total, int(squares)))
    return dict(found)


async def _read(connection: AsyncConnection[Any], experiment_id: str) -> Periods:
    cursor = await connection.execute(statement("weight_periods"), {"experiment_ids": packed(TEXT, [experiment_id])})
    return _periods_of(await cursor.fetchall())[experiment_id]


async def _save(
    connection: AsyncConnection[Any], experiment_id: str, before: Sequence[Period], after: Sequence[Period]
) -> int:
    """Write the periods that have changed; return the number of the fold."""
    there = {id(period) for period in before}
    changed = [period for period in after if id(period) not in there]
    left = {period.first_version for period in after}
    parameters = {
        "experiment_id": experiment_id,
        "merged": packed(BIGINT, [each.first_version for each in before if each.first_version not in left]),
        "first_version": packed(BIGINT, [each.first_version for each in changed]),
        "last_version": packed(BIGINT, [each.last_version for each in changed]),
        "begins": packed(FLOAT, [each.begins for each in changed]),
        "ends": packed(FLOAT, [each.ends for each in changed]),
        "sums": packed(TEXT, [each.document for each in changed]),
    }
    [folds] = await (await connection.execute(statement("save_periods"), parameters)).fetchone() or [0]
    return int(folds)


def _named(versions: Sequence[VersionKey]) -> Mapping[str, object]:
    return {
        "experiment_ids": packed(TEXT, [key.experiment_id for key in versions]),
        "versions": packed(BIGINT, [key.version for key in versions]),
    }


def _version_of(row: Sequence[Any]) -> tuple[VersionKey, VersionWeights]:
    experiment_id, version, begins, ends, holdout, indexes, weights = row
    by_arm = dict(zip(indexes, weights, strict=True)) if indexes else None
    return VersionKey(experiment_id, version), VersionWeights(by_arm, holdout or 0.0, begins, ends)


def _periods_of(rows: Sequence[Sequence[Any]]) -> dict[str, Periods]:
    folds, periods = dict[str, int](), defaultdict[str, list[Period]](list)
    for experiment_id, number, first, last, begins, ends, sums in rows:
        folds[experiment_id] = number
        if first is not None:
            periods[experiment_id].append(Period(first, last, begins, ends, sums))
    return {name: Periods(number, tuple(periods[name])) for name, number in folds.items()}
