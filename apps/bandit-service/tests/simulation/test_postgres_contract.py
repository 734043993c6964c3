"""The simulated Postgres answers as the real one does, and holds the same rows afterwards."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from bandit_service.ledger.pool import Pool, make_pool

from .ledgers import Ledger, comparable, emptied, simulated_ledger
from .programs import EXPERIMENTS, UNITS, Call, programs

HASHES = frozenset(bytes.fromhex(unit) for unit in UNITS)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=2) as pool:
        yield pool


async def answer(ledger: Ledger, call: Call) -> Any:
    """Return what a call returns, or the name of what it raises."""
    try:
        return await call.run(ledger)
    except Exception as error:  # noqa: BLE001 (whatever it is, both have to raise it)
        return type(error).__name__


@settings(
    max_examples=int(os.environ.get("N", "40")),
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=programs)
async def test_the_same_calls_get_the_same_answers_and_leave_the_same_rows(pool: Pool, program: list[Call]) -> None:
    await emptied(pool)
    real = Ledger(pool)
    async with simulated_ledger() as simulated:
        for experiment in EXPERIMENTS:
            assert await real.create(experiment) == await simulated.create(experiment)
        for call in program:
            assert await answer(real, call) == await answer(simulated, call), call
        assert comparable(await real.tables(), HASHES) == comparable(await simulated.tables(), HASHES)
