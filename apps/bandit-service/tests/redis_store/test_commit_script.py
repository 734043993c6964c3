"""The commit script moves counts, beliefs, markers and the stream together, once."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bandit_service.domain.event import EventRecord, decode_record
from bandit_service.events.lane import Batch, Lane, Reply
from bandit_service.events.operations import (
    DUPLICATE,
    LATE,
    NOT_ACTIVATED,
    UNKNOWN,
    Activate,
    Decide,
    Operation,
    Reward,
    close_of,
    pending_member,
)
from bandit_service.redis_store.connection import PipelinedConnection
from bandit_service.redis_store.store import RedisStore
from bandit_service.redis_store.streams import Streams

ID = "homepage"
PRIOR = 1_000_000
HOUR_MS = 3_600_000


def now_ms() -> int:
    return round(time.time() * 1_000)


def record(
    name: str, *, arm: int = 0, micro: int | None = None, at: int | None = None, unit: str | None = None
) -> EventRecord:
    at = now_ms() if at is None else at
    return EventRecord(name, at, at, arm, "bandit", 0.5, micro, 1, unit_hash=unit)


def reward(name: str, micro: int | None, **options: Any) -> Reward:
    arm, at = options.pop("arm", 0), options.pop("at", None)
    usual: dict[str, Any] = {"mode": "b", "deadline_ms": now_ms() + HOUR_MS}
    return Reward(record(name, arm=arm, micro=micro, at=at), **usual | options)


async def connected(redis_url: str) -> PipelinedConnection:
    connection = PipelinedConnection(redis_url, timeout=2.0, scripts=("commit", *Streams.SCRIPTS))
    await connection.open()
    return connection


class Experiment:
    """One experiment in the store, with the lane of one process."""

    def __init__(self, store: RedisStore, connection: PipelinedConnection) -> None:
        self.store = store
        self.connection = connection
        self.streams = Streams(connection)
        self.lane = self.new_lane("process-1")

    def new_lane(self, producer: str) -> Lane:
        lane = Lane(ID, producer, marker_life_ms=2 * HOUR_MS, retain_limit=1_000)
        lane.epoch = 1
        return lane

    async def send(self, batch: Batch) -> Reply:
        [answer] = await self.connection.execute([batch.command])
        return Reply.parse(answer)

    async def commit(self, *operations: Operation) -> tuple[int, ...]:
        self.lane.queue.extend(operations)
        reply = await self.send(self.lane.next_batch(1_000))
        self.lane.succeed(reply)
        return reply.results

    async def posterior(self, arm: int = 0) -> tuple[int, int]:
        counts = await self.store.beliefs(ID, arm + 1)
        return counts.alpha_micro[arm] or 0, counts.beta_micro[arm] or 0

    async def kinds(self) -> list[str]:
        return [fields["k"] for _, fields in await self.store.events(ID, 1, 1, 1_000)]


@pytest.fixture
async def experiment(store: RedisStore, redis_url: str) -> AsyncIterator[Experiment]:
    await store.refill_begin(ID, 1)
    keys = [f"experiment:{{{ID}}}:arm:{arm}:{name}" for arm in range(3) for name in ("alpha", "beta")]
    await store.refill_chunk(ID, 1, keys, ["S", PRIOR, ""] * len(keys))
    await store.refill_end(ID, 1, {"seq": 0, "committed": 0, "version": 1, "weights_version": 0})
    connection = await connected(redis_url)
    yield Experiment(store, connection)
    await connection.close()


async def test_a_reward_adds_r_to_alpha_and_the_rest_to_beta(experiment: Experiment) -> None:
    await experiment.commit(reward("a", 250_000))
    assert await experiment.posterior() == (PRIOR + 250_000, PRIOR + 750_000)


async def test_the_same_reward_counts_once(experiment: Experiment) -> None:
    first, again, other_value = await experiment.commit(reward("a", 1_000_000), reward("a", 1_000_000), reward("a", 0))
    assert first > 0
    assert (again, other_value) == (DUPLICATE, DUPLICATE)
    assert await experiment.posterior() == (2 * PRIOR, PRIOR)


async def test_a_late_reward_is_refused_and_kept_once_as_a_late_event(experiment: Experiment) -> None:
    late = {"deadline_ms": now_ms() - 1_000}
    assert await experiment.commit(reward("a", 1_000_000, **late), reward("a", 1_000_000, **late)) == (LATE, LATE)
    assert await experiment.posterior() == (PRIOR, PRIOR)
    assert await experiment.kinds() == ["late"]


async def test_a_reward_that_was_in_time_stays_a_duplicate_after_the_window(experiment: Experiment) -> None:
    await experiment.commit(reward("a", 1_000_000))
    assert await experiment.commit(reward("a", 1_000_000, deadline_ms=now_ms() - 1)) == (DUPLICATE,)


async def test_an_ignored_outcome_leaves_the_posterior_and_uses_the_decision_up(experiment: Experiment) -> None:
    results = await experiment.commit(reward("a", None), reward("a", 1_000_000))
    assert results[1] == DUPLICATE
    assert await experiment.posterior() == (PRIOR, PRIOR)


async def test_a_deferred_decision_counts_and_can_be_rewarded_only_once_it_is_activated(experiment: Experiment) -> None:
    activation = Activate(record("a"), counter="d:", deadline_ms=now_ms() + HOUR_MS)
    rewarded = {"needs_activation": True}
    assert await experiment.commit(Decide(record("a"), counter=""), reward("a", 1_000_000, **rewarded)) == (
        1,
        NOT_ACTIVATED,
    )
    assert (await experiment.store.beliefs(ID, 1)).state.decisions == {}
    assert await experiment.commit(activation, activation, reward("a", 1_000_000, **rewarded)) == (2, DUPLICATE, 3)
    assert (await experiment.store.beliefs(ID, 1)).state.decisions == {0: 1}


async def test_an_activation_after_the_window_is_late(experiment: Experiment) -> None:
    assert await experiment.commit(Activate(record("a"), counter="d:", deadline_ms=now_ms() - 1_000)) == (LATE,)


async def test_with_missing_rewards_as_zero_outcomes_enter_when_the_window_closes(experiment: Experiment) -> None:
    closed_at = now_ms() - 1_000
    decisions = [record(name, at=closed_at) for name in ("rewarded", "silent", "neutral", "late")]
    await experiment.commit(*[Decide(each, counter="d:", closes_ms=closed_at) for each in decisions])
    await experiment.commit(
        reward("rewarded", 400_000, mode="z"),
        reward("neutral", None, mode="z"),
        reward("late", 1_000_000, mode="z", deadline_ms=closed_at),
    )
    assert await experiment.posterior() == (PRIOR, PRIOR)
    members = await experiment.store.due(ID, now_ms(), 10)
    assert sorted(members) == sorted(pending_member(each) for each in decisions)
    closings = [close_of(member, now_ms()) for member in members]
    assert all(result > 0 for result in await experiment.commit(*closings))
    assert await experiment.commit(*closings) == (DUPLICATE,) * 4
    assert await experiment.posterior() == (PRIOR + 400_000, PRIOR + 600_000 + 2 * 1_000_000)


async def test_a_reward_is_kept_for_as_long_as_its_window_is_open(experiment: Experiment) -> None:
    """Whatever keeps windows from being closed in time must not turn an acknowledged reward into a zero."""
    key = f"experiment:{{{ID}}}:rewarded:"
    at = now_ms() - 1_000
    decisions = [Decide(record(name, at=at), counter="d:", closes_ms=at + 500) for name in ("before", "after")]
    rewards = [reward(name, 400_000, mode="z", at=at) for name in ("before", "after")]
    await experiment.commit(decisions[0], rewards[0], rewards[1], decisions[1], reward("unknown", 1, mode="z"))
    life = experiment.store.client.pttl
    assert [await life(key + name) for name in ("before", "after")] == [-1, -1]
    assert await life(f"{key}unknown") > 0
    members = await experiment.store.due(ID, now_ms(), 10)
    await experiment.commit(*[close_of(member, now_ms()) for member in members])
    assert all([await life(key + name) > 0 for name in ("before", "after")])
    assert await experiment.posterior() == (PRIOR + 800_000, PRIOR + 1_200_000)


async def test_a_tentative_decision_under_a_callers_own_id_is_only_looked_up(experiment: Experiment) -> None:
    experiment.lane.recovering = True
    first = Decide(record("mine"), counter="d:", own_record=b"[0]")
    assert await experiment.commit(first) == (UNKNOWN,)
    assert await experiment.kinds() == []
    experiment.lane.recovered()
    assert await experiment.commit() == (1,)
    experiment.lane.recovering = True
    assert await experiment.commit(Decide(record("mine"), counter="d:", own_record=b"[0]")) == (DUPLICATE,)


async def test_a_tentative_reward_is_only_looked_up(experiment: Experiment) -> None:
    """Whether another process has taken one for the same decision is known once everybody has sent again."""
    experiment.lane.recovering = True
    assert await experiment.commit(reward("a", 400_000)) == (UNKNOWN,)
    assert await experiment.posterior() == (PRIOR, PRIOR)
    assert await experiment.commit(reward("direct/x", 400_000, marked=False)) == (1,)
    experiment.lane.recovered()
    assert await experiment.commit(reward("a", 400_000)) == (2,)
    experiment.lane.recovering = True
    assert await experiment.commit(reward("a", 400_000)) == (DUPLICATE,)


async def test_a_callers_own_decision_id_is_decided_once(experiment: Experiment) -> None:
    own = [Decide(record("mine", arm=arm), counter="d:", own_record=b"[%d]" % arm) for arm in (0, 1)]
    assert await experiment.commit(*own) == (1, DUPLICATE)
    assert await experiment.store.get(f"experiment:{{{ID}}}:decision:mine") == "1|[0]"
    assert (await experiment.store.beliefs(ID, 2)).state.decisions == {0: 1}


async def test_the_first_exposure_of_a_unit_is_noted(experiment: Experiment) -> None:
    await experiment.commit(*[Decide(record(n, unit="ab"), counter="d:", remembers_unit=True) for n in ("a", "b")])
    assert [fields["f"] for _, fields in await experiment.store.events(ID, 1, 1, 10)] == ["1", "0"]


async def test_a_batch_sent_again_is_answered_from_memory(experiment: Experiment) -> None:
    experiment.lane.queue.append(reward("a", 1_000_000))
    batch = experiment.lane.next_batch(10)
    first, again = await experiment.send(batch), await experiment.send(batch)
    assert first.results == again.results == (1,)
    assert await experiment.kinds() == ["reward"]


async def test_a_batch_that_was_overtaken_on_its_way_is_not_applied(experiment: Experiment) -> None:
    """Sent twice because the first was delayed: when that arrives in the end, later batches have been answered."""
    experiment.lane.queue.append(Decide(record("a"), counter="d:"))
    delayed = experiment.lane.next_batch(10)
    experiment.lane.succeed(await experiment.send(delayed))
    await experiment.commit(Decide(record("b"), counter="d:"))
    assert (await experiment.send(delayed)).status == 3
    assert await experiment.kinds() == ["decision", "decision"]
    assert (await experiment.store.beliefs(ID, 1)).state.decisions == {0: 2}


async def test_two_processes_number_their_batches_apart(experiment: Experiment) -> None:
    other = experiment.new_lane("process-2")
    for lane, name in ((experiment.lane, "a"), (other, "b")):
        lane.queue.append(reward(name, 0))
        await experiment.send(lane.next_batch(10))
    assert await experiment.kinds() == ["reward", "reward"]


async def test_another_epoch_is_refused_and_nothing_is_applied(experiment: Experiment) -> None:
    experiment.lane.epoch = 2
    experiment.lane.queue.append(reward("a", 1_000_000))
    reply = await experiment.send(experiment.lane.next_batch(10))
    assert (reply.status, reply.epoch) == (2, 1)
    assert await experiment.kinds() == []


async def test_a_store_without_the_epoch_says_it_is_not_ready(redis_url: str, store: RedisStore) -> None:
    connection = await connected(redis_url)
    experiment = Experiment(store, connection)
    experiment.lane.queue.append(reward("a", 1_000_000))
    reply = await experiment.send(experiment.lane.next_batch(10))
    assert (reply.status, reply.epoch) == (1, None)
    await connection.close()


async def test_a_marker_of_an_earlier_epoch_does_not_count(experiment: Experiment) -> None:
    """After a refill only what Postgres had is in the beliefs, so only its markers are."""
    await experiment.commit(reward("a", 1_000_000))
    await experiment.store.refill_begin(ID, 2)
    await experiment.store.refill_end(ID, 2, {"seq": 0})
    experiment.lane.restart(2, [])
    assert await experiment.commit(reward("a", 1_000_000)) == (1,)


async def test_events_are_numbered_without_a_gap_and_carry_what_was_handed_in(experiment: Experiment) -> None:
    await experiment.commit(Decide(record("a", arm=2), counter="d:"), reward("a", 1, arm=2), reward("a", 1, arm=2))
    entries = await experiment.store.events(ID, 1, 1, 10)
    assert [seq for seq, _ in entries] == [1, 2]
    assert [decode_record(fields["p"]).arm_index for _, fields in entries] == [2, 2]


async def test_trimming_and_leases_work_when_the_memory_is_full(experiment: Experiment) -> None:
    """They are what frees the memory: events leave it once the holder of the lease has written them."""
    await experiment.commit(reward("a", 0), reward("b", 0))
    await experiment.store.client.config_set("maxmemory", 1)
    try:
        assert await experiment.store.lease([ID], "holder", 5.0) == [True]
        assert await experiment.store.lease([ID], "holder", 5.0) == [True]
        assert await experiment.store.lease([ID], "other", 5.0) == [False]
        await experiment.streams.trim(ID, 1, 2)
    finally:
        await experiment.store.client.config_set("maxmemory", 0)
    assert await experiment.store.events(ID, 1, 1, 10) == []


async def test_more_is_not_trimmed_than_there_is(experiment: Experiment) -> None:
    """A number beyond the stream's was counted in another one, before the store came back older."""
    await experiment.commit(reward("a", 0))
    await experiment.streams.trim(ID, 1, 2)
    await experiment.streams.trim(ID, 2, 1)
    assert [seq for seq, _ in await experiment.store.events(ID, 1, 1, 10)] == [1]
    assert (await experiment.store.head(ID)).committed == 0


async def test_trimming_forgets_only_what_postgres_has(experiment: Experiment) -> None:
    await experiment.commit(*[reward(str(number), 0) for number in range(5)])
    await experiment.streams.trim(ID, 1, 3)
    assert [seq for seq, _ in await experiment.store.events(ID, 1, 1, 10)] == [4, 5]
    await experiment.streams.trim(ID, 1, 2)
    assert (await experiment.store.head(ID)).committed == 3


@given(rewards=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1_000_000), st.integers(0, 6)), max_size=25))
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_posterior_is_the_fold_of_the_rewards_that_were_accepted(
    experiment: Experiment, rewards: list[tuple[int, int, int]]
) -> None:
    prefix = f"{time.monotonic_ns()}-"
    before = [await experiment.posterior(arm) for arm in range(3)]
    results = await experiment.commit(*[reward(f"{prefix}{n}", micro, arm=arm) for arm, micro, n in rewards])
    alpha, beta = [a for a, _ in before], [b for _, b in before]
    seen = set()
    for (arm, micro, n), result in zip(rewards, results, strict=True):
        assert (result > 0) == (n not in seen)
        if n not in seen:
            alpha[arm] += micro
            beta[arm] += 1_000_000 - micro
        seen.add(n)
    assert [await experiment.posterior(arm) for arm in range(3)] == list(zip(alpha, beta, strict=True))
