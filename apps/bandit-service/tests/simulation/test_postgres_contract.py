"""The simulated Postgres answers as the real one does, and holds the same rows afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from bandit_service.ledger.pool import Pool, make_pool

from .ledgers import Ledger, comparable, restore, save, simulated_ledger
from .programs import Call, prepare, programs, raised
from .random_events import UNITS

HASHES = frozenset(bytes.fromhex(unit) for unit in UNITS)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    """A real ledger with experiments, which is saved."""
    async with make_pool(postgres_dsn, max_size=2) as pool, simulated_ledger() as simulated:
        assert await prepare(Ledger(pool)) == await prepare(simulated)
        assert comparable(await Ledger(pool).tables()) == comparable(await simulated.tables())
        await save(pool)
        yield pool


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=programs)
async def test_the_same_calls_get_the_same_answers_and_leave_the_same_rows(pool: Pool, program: list[Call]) -> None:
    await restore(pool)
    real = Ledger(pool)
    async with simulated_ledger() as simulated:
        await prepare(simulated)
        for call in program:
            assert await raised(call.run(real)) == await raised(call.run(simulated)), call
        assert comparable(await real.tables(), HASHES) == comparable(await simulated.tables(), HASHES)
