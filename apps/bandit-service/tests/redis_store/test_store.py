"""The store as typed operations."""

from __future__ import annotations

import pytest

from bandit_service.domain.allocation import AllocationRecord, decode_allocation
from bandit_service.redis_store.errors import StoreFullError, StoreUnavailableError
from bandit_service.redis_store.state import Head
from bandit_service.redis_store.store import RedisStore

ID = "homepage"


def allocation(version: int, epoch: int = 1) -> AllocationRecord:
    return AllocationRecord(
        version=version,
        epoch=epoch,
        revision=1,
        belief_version=1,
        seq=1,
        published_at=1.0,
        changed_at=1.0,
        weights={"a": 1.0},
        prob_best={"a": 1.0},
        expected_loss={"a": 0.0},
    )


@pytest.fixture
async def ready(store: RedisStore) -> RedisStore:
    """A store in epoch 1, at weights version 4."""
    await store.refill_begin(ID, 1)
    await store.refill_end(ID, 1, {"seq": 7, "committed": 3, "version": 2, "weights_version": 4})
    return store


async def publish(store: RedisStore, record: AllocationRecord, *, read: int = 4) -> bool:
    return await store.publish(ID, token="mine", read_version=read, record=record, explanation=b"{}")


async def test_a_full_store_is_told_from_one_that_is_away(ready: RedisStore) -> None:
    """A plain command and one inside a script are refused in different words."""
    await ready.refill_begin(ID, 2)
    await ready.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFullError):
            await ready.define(ID, 1, b"{}", {})
        with pytest.raises(StoreFullError):
            await ready.refill_chunk(ID, 2, ["key"], ["S", "value", ""])
    finally:
        await ready.client.config_set("maxmemory", 0)
    away = RedisStore("redis://127.0.0.1:1", timeout=0.2)
    with pytest.raises(StoreUnavailableError):
        await away.ping()
    await away.close()


async def test_a_head_says_where_an_experiment_stands(ready: RedisStore) -> None:
    await ready.define(ID, 5, b"{}", {})
    assert await ready.heads([ID, "unknown"]) == [Head(1, 7, 3, 2, 4, 5), Head(None, 0, 0, 0, 0, -1)]


async def test_many_heads_are_read_in_order(store: RedisStore) -> None:
    names = [f"experiment-{number}" for number in range(250)]
    for number, name in enumerate(names):
        await store.define(name, number, b"{}", {})
    assert [head.revision for head in await store.heads(names)] == list(range(250))


async def test_an_older_definition_does_not_replace_a_newer_one(store: RedisStore) -> None:
    assert await store.define(ID, 2, b"second", {0: (1, 2)})
    assert not await store.define(ID, 1, b"first", {0: (3, 4), 1: (5, 6)})
    assert (await store.served(ID)).definition == "second"
    counts = await store.beliefs(ID, 2)
    assert (counts.alpha_micro, counts.beta_micro) == ((1, 5), (2, 6))


async def test_weights_are_published_by_the_holder_of_the_lease_alone(ready: RedisStore) -> None:
    await ready.lease([ID], "other", 5.0)
    assert not await publish(ready, allocation(5))
    await ready.release([ID], "other")
    assert not await publish(ready, allocation(5))
    await ready.lease([ID], "mine", 5.0)
    assert await publish(ready, allocation(5))
    assert (await ready.head(ID)).weights_version == 5
    assert decode_allocation((await ready.served(ID)).allocation or "").version == 5


async def test_weights_are_not_published_over_those_of_somebody_faster(ready: RedisStore) -> None:
    await ready.lease([ID], "mine", 5.0)
    assert await publish(ready, allocation(5))
    assert not await publish(ready, allocation(5))
    assert await publish(ready, allocation(9), read=5)
    assert (await ready.head(ID)).weights_version == 9


async def test_weights_of_another_epoch_are_not_published(ready: RedisStore) -> None:
    await ready.lease([ID], "mine", 5.0)
    assert not await publish(ready, allocation(5, epoch=2))
    await ready.refill_begin(ID, 2)
    assert not await publish(ready, allocation(5))


async def test_only_a_lease_that_nobody_holds_is_vacant(store: RedisStore) -> None:
    await store.lease(["held"], "somebody", 5.0)
    assert await store.vacant(["held", "free"]) == ["free"]
    await store.release(["held"], "somebody else")
    assert await store.vacant(["held"]) == []


async def test_processes_that_have_not_committed_for_long_are_forgotten(store: RedisStore) -> None:
    key = f"experiment:{{{ID}}}:producers"
    await store.client.hset(key, mapping={"old": "7 1000 1,2", "new": "8 2000 3"})
    await store.forget_producers(ID, 1_500)
    assert await store.client.hkeys(key) == ["new"]
