"""The simulated Postgres answers as the real one does, and holds the same rows afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from bandit_service.domain.event import Event, Row
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.pool import Pool, make_pool

from .ledgers import TIMELINE, Ledger, comparable, restore, save, simulated_ledger
from .programs import Call, prepare, programs, raised, weights_of
from .random_events import EXPERIMENTS, START_MS, UNITS

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


async def test_versions_are_folded_alike(pool: Pool) -> None:
    """Random calls seldom fold anything: versions have to be over, and their rows merged."""
    await restore(pool)
    async with simulated_ledger() as simulated:
        await prepare(simulated)
        for ledger in (Ledger(pool), simulated):
            await _fold_twice(ledger)
        real, model = [await each.tables() for each in (Ledger(pool), simulated)]
        assert len(real["weight_periods"]) == 3
        assert comparable(real, HASHES) == comparable(model, HASHES)


async def _fold_twice(ledger: Ledger) -> None:
    name, lease = EXPERIMENTS[0].id, Lease(EXPERIMENTS[0].id, "p0", 1)
    reward = Event(name, "d0", "reward", START_MS, START_MS, 0, "bandit", counted=True, reward_micro=-700_000)
    for number, version in enumerate([1, 2, 2, 3, 1]):
        await ledger.weights.publish([weights_of(lease)])
        event = msgspec.structs.replace(reward, decision_id=f"d{number}", arm_index=number % 2, weights_version=version)
        subset = msgspec.structs.replace(event, decision_id=f"s{number}", vector="subset")
        held_out = msgspec.structs.replace(event, decision_id=f"h{number}", arm_index=0, stratum="holdout")
        rows = [Row(number, place, each) for place, each in enumerate([event, subset, held_out])]
        ledger.writer.slot = number
        await ledger.writer.write(rows, TIMELINE)
        await ledger.totals.merge([name], number)
        if number >= 3:
            assert await ledger.periods.fold(lease) is not None
    assert await ledger.agreement.unequal_periods() == []
