"""The first to claim an id of a caller's own wins, until the ledger says otherwise."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from bandit_service.mirror.keys import ExperimentKeys
from bandit_service.mirror.own_ids import Claim, OwnIds

KEYS = ExperimentKeys("homepage")


async def test_of_many_claims_at_once_one_holds(redis_client: Redis) -> None:
    ids = OwnIds(redis_client)
    claims = [Claim(KEYS.own("order-1"), b"%d" % number) for number in range(20)]
    answers = await asyncio.gather(*(ids.claim([claim], seconds=60) for claim in claims))
    assert len({answer for [answer] in answers}) == 1
    assert await ids.read([KEYS.own("order-1"), KEYS.own("order-2"), KEYS.request("order-1")]) == [
        answers[0][0],
        None,
        None,
    ]


async def test_several_ids_are_claimed_in_one_round_trip(redis_client: Redis) -> None:
    ids = OwnIds(redis_client)
    await ids.claim([Claim(KEYS.own("b"), b"first")], seconds=60)
    claims = [Claim(KEYS.own(name), b"second") for name in "abc"]
    assert await ids.claim(claims, seconds=60) == [b"second", b"first", b"second"]


async def test_the_ledgers_winner_overwrites(redis_client: Redis) -> None:
    ids = OwnIds(redis_client)
    await ids.claim([Claim(KEYS.own("a"), b"here")], seconds=60)
    await ids.overwrite([Claim(KEYS.own("a"), b"there")], seconds=60)
    assert await ids.claim([Claim(KEYS.own("a"), b"again")], seconds=60) == [b"there"]


async def test_a_claim_ends(redis_client: Redis) -> None:
    ids = OwnIds(redis_client)
    await ids.claim([Claim(KEYS.request("a"), b"here")], seconds=0.05)
    await asyncio.sleep(0.1)
    assert await ids.claim([Claim(KEYS.request("a"), b"again")], seconds=60) == [b"again"]
