"""A change that was committed comes into force here, in the mirror and in every other replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.asyncio

from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.publication import Mirror

if TYPE_CHECKING:
    from conftest import StartApi


async def test_a_new_experiment_is_in_the_mirror_before_it_is_answered(start_api: StartApi, mirror: Mirror) -> None:
    async with start_api() as api:
        live = await api.create()
        [found] = await mirror.served([live.id])
        assert found.experiment is not None
        assert found.experiment.id == live.id
        assert await mirror.sums(found.experiment) == {0: (1_000_000, 1_000_000), 1: (1_000_000, 1_000_000)}

        async def has_weights() -> bool:
            [found] = await mirror.served([live.id])
            return found.allocation is not None

        await api.until(has_weights)


async def test_a_new_arm_is_in_the_mirror_with_its_prior_before_it_is_answered(
    start_api: StartApi, mirror: Mirror
) -> None:
    async with start_api() as api:
        live = await api.create()
        await live.change("arms", 201, id="c", prior={"alpha": 2, "beta": 20})
        [found] = await mirror.served([live.id])
        assert found.experiment is not None
        assert (await mirror.sums(found.experiment))[2] == (2_000_000, 20_000_000)


async def test_a_definition_does_not_set_beliefs_back(start_api: StartApi) -> None:
    async with start_api() as api:
        live = await api.create()
        await live.report("a", 1)
        await live.patch(description="the same, with words")
        assert await live.added("a") == (1_000_000, 0)


async def test_a_mirror_that_missed_a_change_is_told_of_it_even_if_it_was_the_last_one(
    start_api: StartApi, redis_url: str
) -> None:
    """Otherwise an experiment archived during an outage would be served on for ever."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        async with start_api() as api:
            live = await api.create()
            keys = ExperimentKeys(live.id)
            old = await client.get(keys.definition)
            await live.archive()
        await client.set(keys.definition, old or b"")
        await client.hset(keys.written, "definition", "0 1")
        async with start_api() as api:

            async def refused() -> bool:
                return (await api.http.post("/select", json={"experiment_id": live.id})).status_code == 409

            await api.until(refused)


async def test_an_experiment_made_while_another_replica_was_not_looking_is_served_there(start_api: StartApi) -> None:
    async with start_api() as first, start_api() as second:
        await second.post("/select", {"experiment_id": "soon"}, 404)
        await first.create(experiment_id="soon")

        async def served() -> bool:
            return (await second.http.post("/select", json={"experiment_id": "soon"})).status_code == 200

        await second.until(served)
