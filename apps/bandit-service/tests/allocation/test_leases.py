"""Which experiments a process looks after, as it last heard from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandit_service.allocation.leases import Leases
from bandit_service.ledger.leases import LeasesRepository
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.producers import Producers

if TYPE_CHECKING:
    from conftest import NewExperiment


async def test_a_lease_dropped_in_error_is_held_anew(pool: Pool, new_experiment: NewExperiment) -> None:
    """Whoever compares mappings sees that it was dropped, although the ledger gives the same answer again."""
    await new_experiment("x")
    await Producers(pool).register("me")
    leases = Leases(LeasesRepository(pool, holder="me"), life=5.0)
    await leases.keep()
    before = leases.held
    leases.drop("x")
    await leases.keep()
    assert leases.held == before
    assert leases.held is not before
    again = leases.held
    await leases.keep()
    assert leases.held is again
