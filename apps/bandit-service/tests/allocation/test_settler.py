"""A turn of the lease-holder: it settles, then closes windows where a missing reward is a zero."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bandit_service.allocation.settler import Settler
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.leases import FencedError, Lease
from bandit_service.ledger.pool import Pool, make_pool

from ..ledger.decisions import (  # type: ignore[import-not-found]  # noqa: TID252 (no installed package)
    END_MS,
    START_MS,
    Decision,
    World,
    new_experiment,
)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn, max_size=4) as pool:
        yield pool


def settler_of(world: World, now_ms: int = END_MS) -> Settler:
    return Settler(world.settling, clock=lambda: now_ms / 1_000)


async def test_a_turn_settles_and_closes(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero", contextual=True))
    settler = settler_of(world)
    await world.write(Decision(1, stratum="direct", reward=5, context=[1.0, 2.0]).events(world.experiment))
    await world.write(Decision(2, context=[3.0, 4.0]).events(world.experiment))
    turn = await settler.turn(world.lease, world.experiment)
    assert [(each.decision_id, each.reward_micro, each.context) for each in turn.outcomes] == [
        ("d00001", 5, "[1.0,2.0]"),
        ("d00002", 0, "[3.0,4.0]"),
    ]
    assert (turn.before, turn.turn, turn.touched, turn.has_more) == (0, 2, True, True)
    turn = await settler.turn(world.lease, world.experiment)
    assert (turn.outcomes, turn.turn, turn.touched, turn.has_more) == ((), 0, False, False)


async def test_windows_close_by_the_clock_it_was_given(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1).events(world.experiment))
    assert (await settler_of(world, START_MS + 50_000).turn(world.lease, world.experiment)).turn == 0
    assert (await settler_of(world).turn(world.lease, world.experiment)).turn == 1


async def test_without_missing_zeros_nothing_is_closed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World.of(pool, new_experiment())

    async def close(*_: Any) -> None:
        pytest.fail("nothing waits for the end of its window")

    monkeypatch.setattr(world.settling, "close", close)
    await world.write(Decision(1, deferred=True, activated=True, reward=1).events(world.experiment))
    assert len((await settler_of(world).turn(world.lease, world.experiment)).outcomes) == 1


async def test_what_was_settled_is_told_when_closing_fails(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero", contextual=True))
    settler = settler_of(world)

    async def close(*_: Any) -> None:
        raise PostgresUnavailableError("away")

    monkeypatch.setattr(world.settling, "close", close)
    with pytest.raises(PostgresUnavailableError):
        await settler.turn(world.lease, world.experiment)
    await world.write(Decision(1, stratum="direct", reward=5, context=[1.0, 2.0]).events(world.experiment))
    turn = await settler.turn(world.lease, world.experiment)
    assert (len(turn.outcomes), turn.touched, turn.has_more) == (1, True, True)


async def test_a_lost_lease_is_told(pool: Pool) -> None:
    world = await World.of(pool, new_experiment(missing_reward="zero"))
    await world.write(Decision(1).events(world.experiment))
    settler = settler_of(world)
    with pytest.raises(FencedError):
        await settler.turn(Lease(world.experiment.id, "me", 9), world.experiment)
    settler.forget(world.experiment.id)
    assert len((await settler.turn(world.lease, world.experiment)).outcomes) == 1
