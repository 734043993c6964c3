"""A snapshot is the fold of every event up to its number, or it is not written."""

from __future__ import annotations

from bandit_service.domain.experiment import MICRO
from bandit_service.ledger.events import ArmTotals

from .rig import ID, Process, Rig, decide, reward


async def keep(process: Process, rig: Rig) -> None:
    """Do what the background does after each round of writing."""
    await process.snapshots.keep(rig.experiment, (await process.streams.heads([ID]))[ID])


async def test_a_snapshot_waits_until_postgres_has_its_events(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"), reward("a", 250_000))
    await process.streams.open()
    await keep(process, rig)
    assert await _snapshots(rig) == []
    await process.drain()
    await keep(process, rig)
    assert await _snapshots(rig) == [(1, 2, 0), (1, 2, 1)]


async def test_a_snapshot_and_the_later_events_are_the_full_fold(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(decide("a"), reward("a", 250_000), decide("b", arm=1), reward("b", 1, arm=1))
    await process.drain()
    await keep(process, rig)
    await process.commit(decide("c"), reward("c", None), reward("d", MICRO, arm=1))
    await process.commit(
        decide("held", stratum="holdout", counter="hd:"), reward("held", 5, stratum="holdout", mode="h")
    )
    await process.drain()
    snapshot = await rig.events.last_snapshot(ID, rig.experiment.priors)
    assert (snapshot.epoch, snapshot.seq) == (1, 4)
    folded = await rig.events.fold(ID, snapshot)
    assert folded == {
        0: ArmTotals(250_000, 1, 2, 1, 1, 5),
        1: ArmTotals(MICRO + 1, 2, 1),
    }


async def test_a_snapshot_of_a_store_that_was_restarted_is_not_written(rig: Rig) -> None:
    """The restarted store may have given the same numbers to other events."""
    process = await rig.process()
    await process.commit(reward("a"))
    await process.streams.open()
    await keep(process, rig)
    process.streams._connection._identity = ("another run",)
    await process.streams.close()
    await process.drain()
    await keep(process, rig)
    assert [row[:2] for row in await _snapshots(rig)] == []


async def test_a_snapshot_of_an_earlier_epoch_is_not_written(rig: Rig) -> None:
    process = await rig.process()
    await process.commit(reward("a"))
    await process.streams.open()
    await keep(process, rig)
    await rig.redis.flushall()
    await process.settle()
    await process.flush()
    await process.drain()
    await keep(process, rig)
    assert [epoch for epoch, *_ in await _snapshots(rig)] in ([], [2, 2])


async def test_nothing_new_takes_no_snapshot(rig: Rig) -> None:
    process = await rig.process()
    await process.streams.open()
    await keep(process, rig)
    assert not process.snapshots.wants(ID, await rig.store.head(ID))
    await process.commit(reward("a"))
    assert process.snapshots.wants(ID, await rig.store.head(ID))
    await process.drain()
    await keep(process, rig)
    assert not process.snapshots.wants(ID, await rig.store.head(ID))


async def _snapshots(rig: Rig) -> list[tuple[int, ...]]:
    return await rig.rows("SELECT epoch, seq, arm_index FROM posterior_snapshots ORDER BY 1, 2, 3")
