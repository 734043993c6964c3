"""A ledger on either server, for tests that both have to pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from bandit_local.testing.servers import MIGRATED, NewDatabase

from .ledgers import Ledger, real_ledger, restore, save, simulated_ledger
from .random_events import EXPERIMENTS
from .scale import values
from .transactions import EXPERIMENT


@pytest.fixture(autouse=True)
def _as_long_as_before() -> Iterator[None]:
    """A schedule that runs in this process shortens what the product waits for: other tests need that as it was."""
    before = values()
    yield
    for module, name, value in before:
        setattr(module, name, value)


@pytest.fixture(scope="module")
async def real(new_database: NewDatabase) -> AsyncIterator[Ledger]:
    """A real ledger, which is saved."""
    with new_database(MIGRATED) as dsn:
        async with real_ledger(dsn) as ledger:
            await save(ledger.pool)
            yield ledger


@pytest.fixture(params=["real", "simulated"])
async def ledger(request: pytest.FixtureRequest, real: Ledger) -> AsyncIterator[Ledger]:
    if request.param == "real":
        await restore(real.pool)
        ledger = Ledger(real.pool)
        await _prepare(ledger)
        yield ledger
    else:
        async with simulated_ledger() as ledger:
            await _prepare(ledger)
            yield ledger


async def _prepare(ledger: Ledger) -> None:
    await ledger.create(EXPERIMENT)
    await ledger.create(EXPERIMENTS[1])
    await ledger.producers.register("p0")
    await ledger.leases["p0"].take(EXPERIMENT.id, 1_000.0)
