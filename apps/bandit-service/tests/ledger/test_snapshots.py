"""Snapshots are taken of what has moved, no more often than wanted, and of nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bandit_core.rules.experiment import Experiment
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.settling import Settling
from bandit_service.ledger.snapshots import SnapshotsRepository

from .decisions import Decision, World

if TYPE_CHECKING:
    from conftest import NewExperiment


def world_of(pool: Pool, experiment: Experiment) -> World:
    return World(pool, experiment, Lease(experiment.id, "me", 1), Settling(pool, slot=3))


async def taken(pool: Pool, experiment_id: str) -> list[tuple[Any, ...]]:
    """Return every snapshot of an arm that was ever rewarded or decided for, the oldest first."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT arm, alpha_micro, beta_micro, decisions, rewards FROM posterior_snapshots"
            " WHERE experiment_id = %s AND decisions + rewards > 0 ORDER BY taken_at, arm_index",
            [experiment_id],
        )
        return await cursor.fetchall()


async def test_only_what_has_moved_is_taken(pool: Pool, new_experiment: NewExperiment) -> None:
    moved, still = [world_of(pool, await new_experiment(name)) for name in ("moved", "still")]
    snapshots, names = SnapshotsRepository(pool), ["moved", "still", "unheard of"]
    assert await snapshots.take_due(names, 0.0) == []
    await moved.write(Decision(1, reward=250_000).events(moved.experiment))
    assert await snapshots.take_due(names, 0.0) == ["moved"]
    assert await snapshots.take_due(names, 0.0) == []
    assert await taken(pool, "moved") == [("a", 1_250_000, 1_750_000, 1, 1)]
    await still.write(Decision(1, stratum="holdout").events(still.experiment))
    await moved.write(Decision(2).events(moved.experiment))
    assert sorted(await snapshots.take_due(names, 0.0)) == ["moved", "still"]
    assert await taken(pool, "moved") == [("a", 1_250_000, 1_750_000, 1, 1), ("a", 1_250_000, 1_750_000, 2, 1)]


async def test_two_snapshots_are_as_far_apart_as_wanted(pool: Pool, new_experiment: NewExperiment) -> None:
    world, snapshots = world_of(pool, await new_experiment()), SnapshotsRepository(pool)
    for number in range(3):
        await world.write(Decision(number).events(world.experiment))
        assert await snapshots.take_due(["homepage"], 60.0) == (["homepage"] if number == 0 else [])
    assert await taken(pool, "homepage") == [("a", 1_000_000, 1_000_000, 1, 0)]
    assert await snapshots.take_due(["homepage"], 0.0) == ["homepage"]
    assert await taken(pool, "homepage") == [
        ("a", 1_000_000, 1_000_000, 1, 0),
        ("a", 1_000_000, 1_000_000, 3, 0),
    ]


async def test_a_snapshot_has_every_arm(pool: Pool, new_experiment: NewExperiment) -> None:
    world = world_of(pool, await new_experiment())
    await world.write(Decision(1).events(world.experiment))
    await SnapshotsRepository(pool).take_due(["homepage"], 0.0)
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT arm FROM posterior_snapshots ORDER BY arm_index")
        assert await cursor.fetchall() == [("a",), ("b",)]
