"""Weights are put into force by the holder of the lease, with their explanation and a version of their own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from bandit_core.allocation import Allocation, ArmState, allocate
from bandit_core.guardrails import Guardrails
from bandit_core.policies import make_policy
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_service.ledger.leases import Lease, LeasesRepository
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.served import ServedRepository
from bandit_service.ledger.weights import NewWeights, WeightsRepository

if TYPE_CHECKING:
    from conftest import NewExperiment

LIFE = 5.0


@pytest.fixture(scope="module")
def allocation() -> Allocation:
    return allocate(
        arms=[ArmState("a", 3.0, 5.0, 6), ArmState("b", 4.0, 4.0, 6)],
        policy=make_policy("thompson", {}),
        guardrails=Guardrails(min_trials=0, max_step=1.0, min_weight=0.05, cooldown=0.0),
        previous=None,
        seconds_since_change=None,
    )


def record(allocation: Allocation, **fields: Any) -> AllocationRecord:
    given: dict[str, Any] = {
        "version": 0,
        "revision": 1,
        "published_at": 100.5,
        "changed_at": 1.0,
        "weights": allocation.weights,
        "prob_best": {"a": 0.3, "b": 0.7},
        "expected_loss": {"a": 0.1, "b": 0.0},
        "beliefs": {"a": (3.0, 5.1), "b": (4.0, 4.000001)},
    }
    return AllocationRecord(**given | fields)


async def lease_of(pool: Pool, experiment_id: str, holder: str = "one") -> Lease:
    lease = await LeasesRepository(pool, holder=holder).take(experiment_id, LIFE)
    assert lease is not None
    return lease


async def publish(pool: Pool, lease: Lease, allocation: Allocation, **fields: Any) -> AllocationRecord:
    new = NewWeights.of(lease, record(allocation, **fields), allocation.explanation)
    return (await WeightsRepository(pool).publish([new]))[lease.experiment_id]


async def rows(pool: Pool, query: str) -> list[Any]:
    async with pool.connection() as connection:
        return await (await connection.execute(query)).fetchall()


async def test_weights_get_the_next_version_and_are_kept_with_their_explanation(
    pool: Pool, new_experiment: NewExperiment, allocation: Allocation
) -> None:
    await new_experiment("x")
    lease, weights = await lease_of(pool, "x"), WeightsRepository(pool)
    first = await publish(pool, lease, allocation)
    second = await publish(pool, lease, allocation, revision=2)
    assert [(each.version, each.token) for each in (first, second)] == [(1, 1), (2, 1)]
    explanation = allocation.explanation
    found = await weights.explained(["x", "unknown"])
    assert list(found) == ["x"]
    assert found["x"].record == second
    assert found["x"].explanation == json.loads(json.dumps(explanation.to_dict()))
    kept = await rows(pool, "SELECT weights_version, revision, weights, summary FROM allocations ORDER BY 1")
    text = explanation.paragraph()
    assert kept == [(1, 1, dict(allocation.weights), text), (2, 2, dict(allocation.weights), text)]


async def test_a_former_holder_publishes_nothing(
    pool: Pool, new_experiment: NewExperiment, allocation: Allocation
) -> None:
    for name in ("x", "y"):
        await new_experiment(name)
    former, own = await lease_of(pool, "x", "one"), await lease_of(pool, "y", "one")
    holder = await lease_of(pool, "x", "two")
    new = [NewWeights.of(lease, record(allocation), allocation.explanation) for lease in (former, own)]
    published = await WeightsRepository(pool).publish(new)
    assert {name: each.version for name, each in published.items()} == {"y": 1}
    found = await rows(pool, "SELECT experiment_id FROM weights UNION ALL SELECT experiment_id FROM allocations")
    assert found == [("y",), ("y",)]
    assert (await publish(pool, holder, allocation)).version == 1


async def test_versions_of_a_later_timeline_are_higher_than_any_before(
    pool: Pool, new_experiment: NewExperiment, allocation: Allocation
) -> None:
    """The numbers that a failover has lost are not used again: decisions may carry them."""
    await new_experiment("x")
    lease = await lease_of(pool, "x")
    await publish(pool, lease, allocation)
    async with pool.connection() as connection:
        await connection.execute(
            "CREATE OR REPLACE FUNCTION ledger_timeline() RETURNS text LANGUAGE sql STABLE RETURN '00000002'"
        )
    versions = [(await publish(pool, lease, allocation)).version for _ in range(2)]
    assert versions == [1_000_000_001, 1_000_000_002]


async def test_publications_at_the_same_time_have_versions_of_their_own(
    pool: Pool, new_experiment: NewExperiment, allocation: Allocation
) -> None:
    await new_experiment("x")
    lease = await lease_of(pool, "x")
    published = await asyncio.gather(*(publish(pool, lease, allocation) for _ in range(5)))
    assert sorted(each.version for each in published) == [1, 2, 3, 4, 5]


async def test_what_processes_serve_is_read_by_pages_and_by_what_has_changed(
    pool: Pool, new_experiment: NewExperiment, allocation: Allocation
) -> None:
    made = [await new_experiment(f"x{number:03d}") for number in range(5)]
    await new_experiment("gone", status="archived")
    served = ServedRepository(pool)
    before = await served.changes(float("inf"))
    assert (before.timeline, before.versions) == ("00000001", {})
    published = await publish(pool, await lease_of(pool, "x002"), allocation)
    pages = [page async for page in served.pages()]
    assert [(each.experiment, each.allocation) for page in pages for each in page] == [
        (experiment, published if experiment.id == "x002" else None) for experiment in made
    ]
    assert (await served.changes(before.now)).versions == {"x002": (1, 1)}
    assert (await served.changes(0.0)).versions.keys() == {"gone", *(each.id for each in made)}
    [found] = await served.read(["x002", "unknown"])
    assert found.allocation == published
