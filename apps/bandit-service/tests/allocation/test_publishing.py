"""Weights of the experiments whose lease is held, on real stores."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bandit_service.ledger.pool import Pool

from .process import LIFE, Process

if TYPE_CHECKING:
    from conftest import NewExperiment


async def test_weights_that_postgres_lost_are_published_anew(
    pool: Pool, redis_url: str, new_experiment: NewExperiment
) -> None:
    """A failover may lose a version that the mirror still has, and a message may bring it back into memory."""
    ahead = 0.0

    def clock() -> float:
        return time.time() + ahead

    async def turn(process: Process) -> None:
        nonlocal ahead
        for _ in range(4):
            ahead += 1.0
            await process.allocator.tick()

    await new_experiment("x")
    former = Process("former", pool, redis_url, clock)
    await former.start()
    await turn(former)
    await former.close()
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM weights")
        await connection.execute("DELETE FROM allocations")
    await asyncio.sleep(1.1 * LIFE)
    heir = Process("heir", pool, redis_url, clock)
    await heir.start()
    assert heir.leases.held.keys() == {"x"}
    await heir.cache.changed(["x"])
    lost = heir.cache.get("x")
    assert lost is not None
    assert lost.allocation is not None
    await turn(heir)
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT count(*) FROM allocations")).fetchall()
    [mirrored] = await heir.mirror.served(["x"])
    assert rows == [(1,)]
    assert mirrored.allocation is not None
    assert mirrored.allocation.token == heir.leases.held["x"].token > lost.allocation.token
    await heir.close()
