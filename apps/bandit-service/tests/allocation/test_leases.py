"""One process at a time looks after an experiment, and never believes so longer than the store does."""

import asyncio

import pytest

from bandit_service.allocation.leases import Leases
from bandit_service.redis_store.store import RedisStore

LIFE = 0.3


class Monotonic:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


def leases(store: RedisStore, token: str, monotonic: Monotonic) -> Leases:
    return Leases(store, token=token, life=LIFE, monotonic=monotonic)


async def test_the_first_to_claim_owns(store: RedisStore, monotonic: Monotonic) -> None:
    first, second = leases(store, "one", monotonic), leases(store, "two", monotonic)
    assert await first.claim(["x", "y"]) == set()
    assert await second.claim(["y", "z"]) == set()
    assert (sorted(first.owned), second.owned) == (["x", "y"], ["z"])
    assert first.owns("y")
    assert not second.owns("y")


async def test_ownership_ends_here_before_it_ends_in_the_store(store: RedisStore, monotonic: Monotonic) -> None:
    first, second = leases(store, "one", monotonic), leases(store, "two", monotonic)
    await first.claim(["x"])
    monotonic.now += LIFE
    assert not first.owns("x")
    assert first.owned == []
    await second.claim(["x"])
    assert not second.owns("x")


async def test_what_nobody_renews_can_be_taken_over_and_the_loser_is_told(
    store: RedisStore, monotonic: Monotonic
) -> None:
    first, second = leases(store, "one", monotonic), leases(store, "two", monotonic)
    await first.claim(["x"])
    await asyncio.sleep(LIFE + 0.05)
    await second.claim(["x"])
    assert second.owns("x")
    assert await first.claim(["x"]) == {"x"}
    assert not first.owns("x")


async def test_renewing_keeps_a_lease_past_its_life(store: RedisStore, monotonic: Monotonic) -> None:
    first, second = leases(store, "one", monotonic), leases(store, "two", monotonic)
    await first.claim(["x"])
    for _ in range(3):
        await asyncio.sleep(0.6 * LIFE)
        monotonic.now += 0.6 * LIFE
        assert await first.claim(["x"]) == set()
    await second.claim(["x"])
    assert first.owns("x")
    assert not second.owns("x")


async def test_what_is_given_back_can_be_taken_at_once(store: RedisStore, monotonic: Monotonic) -> None:
    first, second = leases(store, "one", monotonic), leases(store, "two", monotonic)
    await first.claim(["x", "y"])
    await first.release()
    assert first.owned == []
    await second.claim(["x"])
    await first.release()
    assert second.owns("x")
    assert await second.claim(["x"]) == set()


async def test_keeping_takes_what_is_vacant_and_renews_only_what_runs_out(
    store: RedisStore, monotonic: Monotonic
) -> None:
    first, second = leases(store, "one", monotonic), leases(store, "two", monotonic)
    await first.claim(["x"])
    assert await second.keep(["x", "y"]) == set()
    assert second.owned == ["y"]
    monotonic.now += 0.6 * LIFE
    await first.keep(["x"])
    monotonic.now += 0.6 * LIFE
    assert first.owns("x")
    assert not second.owns("y")
