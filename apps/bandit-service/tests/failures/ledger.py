"""Comparison of what clients were told with what is in Redis and Postgres."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import httpx
import numpy as np

from bandit_service.domain.linear_model import decode_linear

from .crowd import MICRO, Told
from .platform import ARMS, Platform

_ARMS = range(len(ARMS))
_SETTLED_WITHIN = 60.0


@dataclass(frozen=True)
class Accounts:
    """One side of the comparison: alpha and beta in millionths, and decisions, by arm."""

    alpha: dict[int, int]
    beta: dict[int, int]
    decisions: dict[int, int]


def in_redis(platform: Platform, name: str) -> Accounts:
    with platform.store() as client:
        prefix = f"experiment:{{{name}}}:"
        state = client.hgetall(f"{prefix}state")
        return Accounts(
            {arm: int(client.get(f"{prefix}arm:{arm}:alpha") or 0) for arm in _ARMS},
            {arm: int(client.get(f"{prefix}arm:{arm}:beta") or 0) for arm in _ARMS},
            {arm: int(state.get(f"d:{arm}", 0)) for arm in _ARMS},
        )


def in_postgres(platform: Platform, name: str) -> Accounts:
    """Fold the events without any help from the service's own statements."""
    alpha, beta, decisions = Counter[int](), Counter[int](), Counter[int]()
    rows = platform.rows(
        "SELECT kind, arm_index, believed, reward_micro, deferred FROM bandit_events WHERE experiment_id = %s", name
    )
    for kind, arm, believed, micro, deferred in rows:
        if believed:
            alpha[arm] += micro
            beta[arm] += MICRO - micro
        if kind == "activation" or (kind == "decision" and not deferred):
            decisions[arm] += 1
    return _accounts(alpha, beta, decisions)


def as_told(told: Told) -> tuple[dict[int, int], dict[int, int]]:
    """Return alpha and beta as they follow from the rewards that clients were told of."""
    alpha, beta = Counter[int](), Counter[int]()
    for arm, micro in told.rewards.values():
        alpha[arm] += micro
        beta[arm] += MICRO - micro
    accounts = _accounts(alpha, beta, Counter())
    return accounts.alpha, accounts.beta


def _accounts(alpha: Counter[int], beta: Counter[int], decisions: Counter[int]) -> Accounts:
    return Accounts(
        {arm: MICRO + alpha[arm] for arm in _ARMS},
        {arm: MICRO + beta[arm] for arm in _ARMS},
        {arm: decisions[arm] for arm in _ARMS},
    )


async def settled(platform: Platform, name: str) -> float:
    """Wait until Postgres has everything and no process keeps anything; return how many seconds that took."""
    started = time.monotonic()
    async with httpx.AsyncClient(timeout=5.0) as client:
        while not (_is_drained(platform, name) and await _nothing_is_kept(client, platform)):
            if time.monotonic() - started > _SETTLED_WITHIN:
                raise AssertionError("\n".join(service.log_file.read_text()[-3_000:] for service in platform.services))
            await asyncio.sleep(0.05)
    return time.monotonic() - started


def _is_drained(platform: Platform, name: str) -> bool:
    with platform.store() as client:
        state = client.hgetall(f"experiment:{{{name}}}:state")
    return "epoch" in state and state.get("seq") == state.get("committed")


async def _nothing_is_kept(client: httpx.AsyncClient, platform: Platform) -> bool:
    for url in platform.urls:
        lines = (await client.get(f"{url}/metrics")).text.splitlines()
        gauges = dict(line.rsplit(" ", 1) for line in lines if line.startswith("bandit_") and "{" not in line)
        if float(gauges["bandit_events_retained"]) or float(gauges["bandit_operations_waiting"]):
            return False
    return True


async def assert_nothing_lost_or_doubled(platform: Platform, name: str, told: Told, *, at_least: int) -> None:
    """Compare what clients were told with Redis and Postgres, exactly."""
    assert not told.wrong, told.wrong[:5]
    assert told.acknowledged >= at_least
    events = platform.rows(
        "SELECT decision_id, position, kind, arm_index FROM bandit_events WHERE experiment_id = %s", name
    )
    written = Counter(((decision_id, position), kind) for decision_id, position, kind, _ in events)
    assert [event for event, times in written.items() if times > 1] == []
    decided = {(decision_id, position): arm for decision_id, position, kind, arm in events if kind == "decision"}
    assert told.decisions.items() <= decided.items()
    assert {place for place, kind in written if kind == "reward"} == told.rewards.keys()
    redis, postgres = in_redis(platform, name), in_postgres(platform, name)
    assert (redis.alpha, redis.beta) == as_told(told)
    assert redis == postgres
    positions = platform.rows("SELECT epoch, seq FROM bandit_events WHERE experiment_id = %s", name)
    assert len(positions) == len(set(positions))


async def assert_same_weights(platform: Platform, name: str) -> None:
    """All services serve the same weights version, within the second it may take to notice a new one."""
    async with httpx.AsyncClient(timeout=5.0) as client:
        for _ in range(40):
            answers = [await client.post(f"{url}/select", json={"experiment_id": name}) for url in platform.urls]
            versions = {answer.json()["weights_version"] for answer in answers}
            if len(versions) == 1 and versions != {0}:
                return
            await asyncio.sleep(0.1)
    raise AssertionError(versions)


async def assert_models_are_the_fold(platform: Platform, name: str) -> None:
    """The published coefficients are those of a batch ridge regression on every reward that was believed."""
    rows = platform.rows(
        "SELECT seq, arm_index, context, reward_micro FROM bandit_events WHERE experiment_id = %s AND believed", name
    )
    assert all(context is not None for _, _, context, _ in rows)
    last = max(seq for seq, *_ in rows)
    for _ in range(100):
        with platform.store() as client:
            record = decode_linear(client.get(f"experiment:{{{name}}}:linear"))
        if record.seq >= last:
            break
        await asyncio.sleep(0.1)
    assert record.seq >= last
    for place in _ARMS:
        own = [(context, micro) for _, arm, context, micro in rows if arm == place]
        x = np.array([[*context, 1.0] for context, _ in own])
        rewards = np.array([micro for _, micro in own]) / MICRO
        expected = np.linalg.solve(np.eye(x.shape[1]) + x.T @ x, x.T @ rewards)
        np.testing.assert_allclose(record.beliefs.theta[place], expected, atol=1e-8)
