"""The mirror's copies: older never over newer, again without harm, and everything can be written anew."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import ArmDefinition, Experiment, RewardsDefinition
from bandit_service.domain.totals import Totals
from bandit_service.mirror.keys import MARK, ExperimentKeys
from bandit_service.mirror.publication import Mirror, Mirrored, Publish

ID = "homepage"


def experiment(revision: int = 1, **fields: Any) -> Experiment:
    given: dict[str, Any] = {
        "id": ID,
        "namespace": "default",
        "status": "running",
        "revision": revision,
        "arms": (ArmDefinition(0, "a"), ArmDefinition(1, "b", 2_000_000, 20_000_000)),
        "default_arm": "a",
        "created_at": 0.0,
    }
    return Experiment(**given | fields)


def record(version: int) -> AllocationRecord:
    halves = {"a": 0.5, "b": 0.5}
    return AllocationRecord(
        version=version,
        revision=1,
        published_at=0.0,
        changed_at=0.0,
        weights=halves,
        prob_best=halves,
        expected_loss=halves,
    )


def totals(rewards: int, as_of: float) -> Totals:
    return Totals(
        decisions={0: 7},
        rewards={0: rewards, 1: 1},
        reward_micro={0: 500_000 * rewards, 1: 250_000},
        square_micro={0: 250_000 * rewards, 1: 2**70},
        segment_rewards={("de/mobile", 1): 3},
        segment_micro={("de/mobile", 1): 5},
        as_of=as_of,
    )


async def served(mirror: Mirror) -> Mirrored:
    [found] = await mirror.served([ID])
    return found


async def test_keys_hold_prior_and_totals_as_plain_integers(mirror: Mirror, redis_client: Redis) -> None:
    await mirror.define([experiment()])
    assert await mirror.sums(experiment()) == {0: (1_000_000, 1_000_000), 1: (2_000_000, 20_000_000)}
    await mirror.totals([(1, experiment(), totals(3, 5.0))])
    assert await redis_client.get("experiment:{homepage}:arm:0:alpha") == b"2500000"
    assert await redis_client.get("experiment:{homepage}:arm:0:beta") == b"2500000"
    assert await redis_client.get("experiment:{homepage}:arm:1:alpha") == b"2250000"
    assert await redis_client.get("experiment:{homepage}:arm:1:beta") == b"20750000"
    assert await mirror.beliefs(ID) == totals(3, 5.0)


async def test_keys_of_gaussian_arms_hold_the_sums_of_rewards_and_squares(mirror: Mirror) -> None:
    gaussian = experiment(rewards=RewardsDefinition(distribution="gaussian"))
    await mirror.totals([(1, gaussian, totals(2, 5.0))])
    assert await mirror.sums(gaussian) == {0: (1_000_000, 500_000), 1: (250_000, 2**70)}


async def test_totals_that_were_read_earlier_or_by_a_former_holder_are_refused(mirror: Mirror) -> None:
    for token, found, holds in (
        (2, totals(1, 10.0), totals(1, 10.0)),
        (2, totals(2, 10.5), totals(2, 10.5)),
        (2, totals(1, 10.2), totals(2, 10.5)),
        (1, totals(1, 99.0), totals(2, 10.5)),
        # A failover to a server whose clock is behind.
        (3, totals(5, 3.0), totals(5, 3.0)),
        (10_000_000_000, totals(6, 1.0), totals(6, 1.0)),
        (9_999_999_999, totals(7, 2.0), totals(6, 1.0)),
    ):
        for _ in range(2):
            await mirror.totals([(token, experiment(), found)])
            assert await mirror.beliefs(ID) == holds


async def test_weights_of_a_former_holder_or_of_an_earlier_version_are_refused(mirror: Mirror) -> None:
    for token, version, holds in ((2, 5, 5), (2, 6, 6), (2, 5, 6), (1, 9, 6), (3, 7, 7), (3, 7, 7)):
        await mirror.publish([(token, Publish(ID, record(version), b'{"v": %d}' % version))])
        explained = await mirror.explained(ID)
        assert explained == (record(holds), {"v": holds})


async def test_an_older_definition_is_refused_unless_a_failover_has_lost_the_newer_one(mirror: Mirror) -> None:
    await mirror.define([experiment(3, status="paused")])
    await mirror.define([experiment(2)])
    assert (await served(mirror)).experiment == experiment(3, status="paused")
    await mirror.define([experiment(2)], anew=True)
    assert (await served(mirror)).experiment == experiment(2)
    await mirror.define([experiment(3)])
    assert (await served(mirror)).experiment == experiment(3)
    assert await mirror.experiment_ids() == [ID]


async def test_a_definition_does_not_set_beliefs_back_and_gives_new_arms_their_prior(mirror: Mirror) -> None:
    await mirror.define([experiment()])
    await mirror.totals([(1, experiment(), totals(3, 5.0))])
    more = experiment(2, arms=(*experiment().arms, ArmDefinition(2, "c", 7, 8)))
    await mirror.define([more])
    assert await mirror.sums(more) == {0: (2_500_000, 2_500_000), 1: (2_250_000, 20_750_000), 2: (7, 8)}


async def test_whatever_is_deleted_can_be_written_again(mirror: Mirror, redis_client: Redis) -> None:
    async def write() -> None:
        await mirror.define([experiment()])
        await mirror.totals([(4, experiment(), totals(3, 5.0))])
        await mirror.publish([(4, Publish(ID, record(9), b"{}"))])

    async def read() -> tuple[object, ...]:
        return await served(mirror), await mirror.beliefs(ID), await mirror.explained(ID)

    await write()
    before = await read()
    await redis_client.flushall()
    await redis_client.script_flush()
    assert await read() == (Mirrored(None, None, None), None, None)
    await write()
    assert await read() == before
    await redis_client.delete(ExperimentKeys(ID).weights, ExperimentKeys(ID).alpha(0))
    await write()
    assert await read() == before
    assert (await mirror.sums(experiment()))[0] == (2_500_000, 2_500_000)


async def test_what_another_version_of_the_service_wrote_is_as_good_as_missing(
    mirror: Mirror, redis_client: Redis
) -> None:
    keys = ExperimentKeys(ID)
    await redis_client.set(keys.definition, msgspec.json.encode({"id": 1}))
    await redis_client.set(keys.weights, b"\xff")
    await redis_client.set(keys.totals, b"{}")
    assert await served(mirror) == Mirrored(None, None, None)
    assert await mirror.beliefs(ID) is None


async def test_a_writer_notices_lost_data(redis_client: Redis) -> None:
    first, other = Mirror(redis_client, "first"), Mirror(redis_client, "other")
    assert [await first.has_kept_all(), await first.has_kept_all(), await other.has_kept_all()] == [True] * 3
    await redis_client.flushall()
    assert [await first.has_kept_all(), await first.has_kept_all()] == [False, True]


async def test_a_writer_notices_an_earlier_state(redis_client: Redis) -> None:
    """Also one of a moment ago: what is written since the last look is counted too."""
    writer = Mirror(redis_client, "first")
    await writer.has_kept_all()
    earlier = await redis_client.get(f"{MARK}:first")
    await writer.totals([(1, experiment(), Totals(as_of=1.0))])
    await redis_client.set(f"{MARK}:first", earlier or b"")
    assert [await writer.has_kept_all(), await writer.has_kept_all()] == [False, True]


async def test_a_write_after_a_failover_hides_nothing(redis_client: Redis) -> None:
    writer = Mirror(redis_client, "first")
    for number in range(1, 4):
        await writer.totals([(1, experiment(), Totals(as_of=number))])
    await redis_client.set(f"{MARK}:first", 1)
    for number in range(4, 7):
        await writer.totals([(1, experiment(), Totals(as_of=number))])
    assert [await writer.has_kept_all(), await writer.has_kept_all()] == [False, True]
