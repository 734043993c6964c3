"""One process at a time looks after an experiment; a former one cannot commit any more."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bandit_service.ledger import leases
from bandit_service.ledger.leases import FencedError, Lease, LeasesRepository
from bandit_service.ledger.pool import Pool, connected
from bandit_service.ledger.producers import Producers

if TYPE_CHECKING:
    from conftest import NewExperiment

LIFE = 5.0


async def producer(pool: Pool, name: str) -> LeasesRepository:
    await Producers(pool).register(name)
    return LeasesRepository(pool, holder=name)


async def silence(pool: Pool, name: str, seconds: float = 2 * LIFE) -> None:
    """Let a process have sent its last heartbeat a while ago."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE producers SET heartbeat_at = heartbeat_at - make_interval(secs => %s) WHERE name = %s",
            [seconds, name],
        )


async def fail_over(pool: Pool, timeline: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            f"CREATE OR REPLACE FUNCTION ledger_timeline() RETURNS text LANGUAGE sql STABLE RETURN '{timeline}'"
        )


async def held(repository: LeasesRepository) -> dict[str, int]:
    return {name: lease.token for name, lease in (await repository.claim(LIFE)).items()}


async def test_the_first_to_claim_holds_until_it_is_silent(pool: Pool, new_experiment: NewExperiment) -> None:
    await new_experiment("x")
    first, second = await producer(pool, "one"), await producer(pool, "two")
    assert await held(first) == {"x": 1}
    await new_experiment("y")
    assert await held(second) == {"y": 1}
    assert await held(first) == {"x": 1}
    await silence(pool, "one")
    assert await held(second) == {"x": 2, "y": 1}
    assert await held(first) == {}


async def test_what_a_dead_or_unknown_process_held_is_taken(pool: Pool, new_experiment: NewExperiment) -> None:
    await new_experiment("x")
    await new_experiment("y")
    first, second = await producer(pool, "one"), await producer(pool, "two")
    assert await first.take("x", LIFE) == Lease("x", "one", 1)
    await LeasesRepository(pool, holder="never registered").take("y", LIFE)
    async with pool.connection() as connection:
        await connection.execute("UPDATE producers SET dead = true WHERE name = 'one'")
    assert await held(second) == {"x": 2, "y": 2}


async def test_what_is_given_back_can_be_taken_at_once(pool: Pool, new_experiment: NewExperiment) -> None:
    await new_experiment("x")
    first, second = await producer(pool, "one"), await producer(pool, "two")
    await held(first)
    assert await second.take("x", LIFE) is None
    await first.release()
    assert await second.take("x", LIFE) == Lease("x", "two", 2)
    await first.release()
    assert await held(second) == {"x": 2}


async def test_taking_what_is_held_changes_nothing(pool: Pool, new_experiment: NewExperiment) -> None:
    await new_experiment("x")
    first = await producer(pool, "one")
    assert await first.take("x", LIFE) == await first.take("x", LIFE) == Lease("x", "one", 1)


async def test_a_call_takes_a_bounded_number(pool: Pool, new_experiment: NewExperiment) -> None:
    for number in range(5):
        await new_experiment(f"x{number}")
    first = await producer(pool, "one")
    assert len(await first.claim(LIFE, most=2)) == 2
    assert len(await first.claim(LIFE, most=2)) == 4
    assert len(await first.claim(LIFE, most=2)) == 5


async def test_on_another_timeline_every_lease_is_taken_anew(pool: Pool, new_experiment: NewExperiment) -> None:
    """A failover may have lost what was done under the old tokens, and handed them out again."""
    await new_experiment("x")
    await new_experiment("y")
    first = await producer(pool, "one")
    assert await held(first) == {"x": 1, "y": 1}
    await fail_over(pool, "0000000B")
    assert await first.take("y", LIFE) == Lease("y", "one", 10_000_000_000)
    assert await held(first) == {"x": 10_000_000_000, "y": 10_000_000_000}
    assert await held(first) == {"x": 10_000_000_000, "y": 10_000_000_000}


async def test_a_former_holder_cannot_lock(pool: Pool, new_experiment: NewExperiment) -> None:
    await new_experiment("x")
    first, second = await producer(pool, "one"), await producer(pool, "two")
    lease = (await first.claim(LIFE))["x"]
    async with connected(pool) as connection:
        assert await leases.lock(connection, lease) == 0
    await silence(pool, "one")
    await second.claim(LIFE)
    async with connected(pool) as connection:
        with pytest.raises(FencedError):
            await leases.lock(connection, lease)


async def test_a_takeover_waits_for_nobody_and_spares_a_transaction_of_the_holder(
    pool: Pool, new_experiment: NewExperiment
) -> None:
    await new_experiment("x")
    await new_experiment("y")
    first, second = await producer(pool, "one"), await producer(pool, "two")
    lease = (await first.claim(LIFE))["x"]
    await silence(pool, "one")
    async with connected(pool) as connection:
        await leases.lock(connection, lease)
        assert await asyncio.wait_for(held(second), 1.0) == {"y": 2}
    assert await held(second) == {"x": 2, "y": 2}


async def test_rivals_never_hold_the_same_lease(pool: Pool, new_experiment: NewExperiment) -> None:
    names = [f"x{number}" for number in range(20)]
    for name in names:
        await new_experiment(name)
    rivals = [await producer(pool, f"rival-{number}") for number in range(6)]
    seen: set[tuple[str, int, str]] = set()
    rng = random.Random(7)
    for _ in range(15):
        for lost in rng.sample(range(6), 2):
            await silence(pool, f"rival-{lost}")
        found = await asyncio.gather(*(rival.claim(LIFE) for rival in rivals))
        seen |= {(lease.experiment_id, lease.token, lease.holder) for each in found for lease in each.values()}
        async with pool.connection() as connection:
            await connection.execute("UPDATE producers SET heartbeat_at = clock_timestamp()")
            cursor = await connection.execute("SELECT count(*) FROM leases WHERE holder IS NOT NULL")
            assert await cursor.fetchone() == (20,)
    assert max(Counter((name, token) for name, token, _ in seen).values()) == 1


async def test_what_is_unsettled_or_due_is_found(pool: Pool, new_experiment: NewExperiment) -> None:
    for name in "xyz":
        await new_experiment(name)
    first = await producer(pool, "one")
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO unsettled (experiment_id, decision_ids, times) VALUES ('x', '{}', '{}')")
        await connection.execute("INSERT INTO open_buckets VALUES ('y', now() - interval '100 s', 0, 1)")
    assert await first.unsettled(["x", "y", "z"]) == {"x"}
    assert await first.due({"x": 60.0, "y": 90.0, "z": 0.0}) == {"y"}
    assert await first.due({"y": 99.5}) == set()
