"""Whether arms are drawn with the propensities that are logged: each decision is counted once, as the log grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from bandit_core.sample_ratio import ArmDraws, propensity_p_values
from bandit_service.ledger.pool import Pool, connected, statement

_COUNTING_SECONDS: Final = 60.0
# Without new draws a row is written again no more often than this.
_IDLE: Final = timedelta(minutes=59)


class _Row(NamedTuple):
    experiment_id: str
    arms: list[dict[str, Any]] | None
    since: datetime
    until: datetime
    arm_index: int | None
    propensity: float | None
    decisions: int


class _Arm(msgspec.Struct, frozen=True):
    arm_index: int
    draws: int
    represented: float
    gains: tuple[float, ...]
    p_value: float


class SampleRatios:
    """Brings the sample ratios up to date. Its method raises PostgresUnavailableError while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def update(self, experiment_ids: Sequence[str]) -> None:
        """Count the draws since the last time, at most an hour of them, and test the ratio of each experiment."""
        async with connected(self._pool, timeout=_COUNTING_SECONDS) as connection:
            cursor = await connection.execute(statement("new_draws"), {"experiment_ids": list(experiment_ids)})
            rows = [_Row(*row) for row in await cursor.fetchall()]
        saved = [_saved(list(group)) for _, group in groupby(rows, lambda row: row.experiment_id)]
        async with connected(self._pool) as connection:
            for parameters in saved:
                if parameters is not None:
                    await connection.execute(statement("save_sample_ratio"), parameters)


def _saved(rows: Sequence[_Row]) -> dict[str, Any] | None:
    """Return what to save of one experiment; None if there is nothing new."""
    first, drawn = rows[0], [row for row in rows if row.arm_index is not None]
    if not drawn and first.until - first.since < _IDLE:
        return None
    arms = _added({each.arm_index: each for each in msgspec.convert(first.arms or [], list[_Arm])}, drawn)
    p_values = propensity_p_values(arms)
    kept = [_Arm(arm, each.draws, each.represented, each.gains, p_values[arm]) for arm, each in arms.items()]
    return {
        "experiment_id": first.experiment_id,
        "since": first.since,
        "until": first.until,
        "arms": msgspec.json.encode(kept).decode(),
    }


def _added(before: Mapping[int, _Arm], drawn: Iterable[_Row]) -> dict[int, ArmDraws]:
    arms = {arm: ArmDraws(each.draws, each.represented, each.gains) for arm, each in before.items()}
    counts: dict[int, list[tuple[float, int]]] = {}
    for row in drawn:
        if row.arm_index is not None and row.propensity is not None:
            counts.setdefault(row.arm_index, []).append((row.propensity, row.decisions))
    for arm, pairs in counts.items():
        propensities, decisions = zip(*pairs, strict=True)
        arms[arm] = arms.get(arm, ArmDraws()) + ArmDraws.of(np.array(propensities), np.array(decisions))
    return arms
