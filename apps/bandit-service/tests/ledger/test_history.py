"""Material changes of weights are kept with their explanation, also over an outage of Postgres."""

from __future__ import annotations

import json

import pytest

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.guardrails import Guardrails
from bandit_core.policies import make_policy
from bandit_service.domain.allocation import AllocationRecord
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.events import EventLog
from bandit_service.ledger.history import History
from bandit_service.ledger.pool import Pool

from .conftest import ID


@pytest.fixture(scope="module")
def allocation() -> Allocation:
    return allocate(
        arms=[ArmState("a", 3.0, 5.0, 6), ArmState("b", 4.0, 4.0, 6)],
        policy=make_policy("thompson", {}),
        guardrails=Guardrails(min_trials=0, max_step=1.0, min_weight=0.05, cooldown=0.0),
        previous=None,
        seconds_since_change=None,
    )


def record(version: int, allocation: Allocation) -> AllocationRecord:
    return AllocationRecord(
        version=version,
        epoch=1,
        revision=1,
        belief_version=1,
        seq=1,
        published_at=float(version),
        changed_at=1.0,
        weights=allocation.weights,
        prob_best={"a": 0.3, "b": 0.7},
        expected_loss={"a": 0.1, "b": 0.0},
    )


async def kept(pool: Pool) -> list[int]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT weights_version FROM allocations ORDER BY 1")
        return [version for (version,) in await cursor.fetchall()]


async def test_what_was_noted_is_written_with_its_explanation(
    log: EventLog, pool: Pool, allocation: Allocation
) -> None:
    history = History(log)
    history.keep(ID, record(1, allocation), allocation)
    history.keep(ID, record(2, allocation), allocation)
    await history.flush()
    assert await kept(pool) == [1, 2]
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT explanation, summary FROM allocations LIMIT 1")
        row = await cursor.fetchone()
    explanation = allocation.explanation
    assert row == (json.loads(json.dumps(explanation.to_dict())), explanation.paragraph())


async def test_what_postgres_did_not_take_is_written_later(log: EventLog, pool: Pool, allocation: Allocation) -> None:
    history = History(log)
    for version in (1, 2):
        history.keep(ID, record(version, allocation), allocation)
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE allocations RENAME TO away")
    with pytest.raises(PostgresUnavailableError):
        await history.flush()
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE away RENAME TO allocations")
    await history.flush()
    assert await kept(pool) == [1, 2]


async def test_past_a_thousand_the_oldest_gives_way(log: EventLog, pool: Pool, allocation: Allocation) -> None:
    history = History(log)
    for version in range(1_003):
        history.keep(ID, record(version, allocation), allocation)
    await history.flush()
    assert await kept(pool) == list(range(3, 1_003))
