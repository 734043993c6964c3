"""A caller's own id belongs to one decision: whichever process is asked, and whichever store is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
import redis

from bandit_core.rules.decisions import DecisionClaims
from bandit_core.rules.problems import Unavailable
from bandit_service.api.decisions.own_ids import OwnIdDecisions
from bandit_service.api.decisions.recording import Recording
from bandit_service.domain.own_decision import OwnDecision
from bandit_service.ledger.pool import Pool
from bandit_service.mirror.connection import make_redis
from bandit_service.mirror.own_ids import OwnIds
from bandit_service.spool.stream import probe_key

from .conftest import Processes
from .gate import Gate
from .process import Process, event, events_in, until

FIRST_MS = 1_790_000_000_000


class Asked:
    """A process that is asked for decisions under own ids."""

    def __init__(self, process: Process, redis_url: str) -> None:
        self.process = process
        self._redis = make_redis(redis_url, timeout=0.4)
        self.claims = OwnIds(self._redis)
        self._decisions = OwnIdDecisions(claims=self.claims, recording=Recording(process.recorder))

    async def decide(self, own_id: str, arm: int) -> int:
        """Return the arm of the decision that has the id, when this arm was drawn."""
        claims = DecisionClaims("e", arm, 0.1, FIRST_MS + arm, "bandit", deferred=False, weights_version=1)
        found = await self._decisions.decide(event(own_id, decision_ms=claims.decision_ms, arm_index=arm), claims)
        return found.arm_index if isinstance(found, OwnDecision) else arm

    def reach(self, claims: OwnIds) -> None:
        """Go on with claims in another store."""
        self._decisions._claims = claims

    async def close(self) -> None:
        await self._redis.aclose()


@pytest.fixture
async def asked(processes: Processes, redis_url: str) -> AsyncIterator[list[Asked]]:
    """Two processes. Gates stand between them and the stores, but not before the claims."""
    both = [Asked(await processes.start(), redis_url) for _ in range(2)]
    await until(lambda: all(each.process.recorder.others_follow for each in both))
    yield both
    for each in both:
        await each.close()


async def test_a_repeated_request_gets_the_first_decision_from_any_process(asked: list[Asked], pool: Pool) -> None:
    a, b = asked
    assert [await a.decide("mine", 0), await a.decide("mine", 1), await b.decide("mine", 2)] == [0, 0, 0]
    assert await events_in(pool) == ["mine"]


async def test_the_ledger_s_winner_is_answered_and_mirrored_after_redis_lost_the_claim(
    asked: list[Asked], store: redis.Redis
) -> None:
    a, b = asked
    assert await a.decide("mine", 0) == 0
    store.flushall()
    assert await b.decide("mine", 1) == 0
    assert await a.decide("mine", 2) == 0
    [key] = [key for key in store.keys() if b"mine" in key]  # noqa: SIM118 (not a dictionary)
    assert b'"mine"' in (store.get(key) or b"")
    assert str(FIRST_MS).encode() in (store.get(key) or b"")


async def test_who_answers_from_a_claim_records_its_decision(asked: list[Asked], pool: Pool) -> None:
    """The process that made the claim ended before it had written the decision down."""
    a, b = asked
    await a.process.kill()
    request = asyncio.create_task(a.decide("mine", 0))
    await until(lambda: a.process.recorder.waiting == 1)
    request.cancel()
    assert await events_in(pool) == []
    assert await b.decide("mine", 1) == 0
    assert await events_in(pool) == ["mine"]


async def test_a_claim_that_redis_did_not_take_goes_there_later(asked: list[Asked], store: redis.Redis) -> None:
    a, _ = asked
    away = Asked(a.process, "redis://127.0.0.1:1")
    decisions = OwnIdDecisions(claims=away.claims, recording=Recording(a.process.recorder))
    claims = DecisionClaims("e", 0, 0.1, FIRST_MS, "bandit", deferred=False, weights_version=1)
    assert await decisions.decide(event("unheard", decision_ms=FIRST_MS), claims) is None
    assert not any(b"unheard" in key for key in store.keys())  # noqa: SIM118 (not a dictionary)
    await away.close()
    decisions._claims = a.claims
    await until(lambda: any(b"unheard" in key for key in store.keys()))  # noqa: SIM118


async def test_a_claim_that_neither_store_answered_goes_to_redis_later(
    asked: list[Asked], store: redis.Redis, postgres_gate: Gate
) -> None:
    """The ledger may have given the id. So no other process gives it while the ledger is away."""
    a, b = asked
    away = Asked(a.process, "redis://127.0.0.1:1")
    assert a.process.recorder.health.ledger
    postgres_gate.freeze()
    with pytest.raises(Unavailable):
        await away.decide("unheard", 0)
    away.reach(a.claims)
    await until(lambda: any(b"unheard" in key for key in store.keys()))  # noqa: SIM118 (not a dictionary)
    await until(lambda: not b.process.recorder.health.beats)
    with pytest.raises(Unavailable):
        await b.decide("unheard", 1)
    postgres_gate.open()
    await until(lambda: b.process.recorder.health.beats)
    given = await b.decide("unheard", 1)
    assert await a.decide("unheard", 2) == given
    await away.close()


async def test_while_heartbeats_fail_the_claim_is_enough(asked: list[Asked], postgres_gate: Gate, pool: Pool) -> None:
    a, b = asked
    postgres_gate.cut()
    await until(lambda: not (a.process.recorder.health.beats or b.process.recorder.health.beats))
    assert [await a.decide("mine", 0), await b.decide("mine", 1)] == [0, 0]
    postgres_gate.open()
    await a.process.written()
    await b.process.written()
    assert await events_in(pool) == ["mine"]


async def test_a_claim_that_redis_did_not_take_is_not_enough(asked: list[Asked], postgres_gate: Gate) -> None:
    a, _ = asked
    away = Asked(a.process, "redis://127.0.0.1:1")
    postgres_gate.cut()
    await until(lambda: not a.process.recorder.health.beats)
    with pytest.raises(Unavailable):
        await away.decide("mine", 0)
    await away.close()


async def test_after_redis_went_back_a_claim_is_not_enough(
    asked: list[Asked], postgres_gate: Gate, store: redis.Redis
) -> None:
    a, _ = asked
    key = probe_key(a.process.keeper.name or "")
    await until(lambda: store.exists(key) == 1)
    earlier = store.dump(key)
    await asyncio.sleep(1.0)
    postgres_gate.cut()
    await until(lambda: not a.process.recorder.health.beats)
    store.restore(key, 0, cast("bytes", earlier), replace=True)
    with pytest.raises(Unavailable):
        await a.decide("mine", 0)


async def test_without_any_store_nobody_can_say_which_decision_has_the_id(
    asked: list[Asked], postgres_gate: Gate, redis_gate: Gate
) -> None:
    a, _ = asked
    postgres_gate.cut()
    redis_gate.cut()
    with pytest.raises(Unavailable):
        await a.decide("mine", 0)
