"""Comparison of what clients were told with what is in Postgres and Redis, by sums of its own."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import LiteralString, NamedTuple

import httpx
import numpy as np

from bandit_core.rules.linear_record import decode_linear

from .crowd import MICRO, Place, Told
from .periods import assert_periods_are_the_fold
from .platform import ARMS, Platform

_ARMS = range(len(ARMS))
_SETTLED_WITHIN = 60.0
_EVENTS: LiteralString = """
    SELECT decision_id, position, kind, arm_index, stratum, reward_micro, deferred, filled, context
    FROM bandit_events WHERE experiment_id = %s
"""
# Every event received until now is in the ledger, everything that ended was picked up, and nothing waits for others.
_SETTLED: LiteralString = """
    SELECT NOT EXISTS (SELECT FROM producers WHERE dead OR drained_to < to_timestamp(%s))
        AND NOT EXISTS (SELECT FROM unsettled WHERE experiment_id = %s)
"""
_DIFFERENT_TOTALS: LiteralString = """
    SELECT
        experiment_id, arm_index, stratum, segment, sum(decisions), sum(rewards), sum(reward_micro), sum(square_micro)
    FROM (TABLE arm_totals UNION ALL TABLE dropped_totals) AS total
    WHERE experiment_id = %s
    GROUP BY 1, 2, 3, 4
    EXCEPT
    SELECT
        experiment_id, arm_index, stratum, segment, sum(decisions), sum(rewards), sum(reward_micro), sum(square_micro)
    FROM folded_events
    WHERE experiment_id = %s
    GROUP BY 1, 2, 3, 4
"""


class Logged(NamedTuple):
    """An event as Postgres has it."""

    decision_id: str
    position: int
    kind: str
    arm: int
    stratum: str
    micro: int | None
    deferred: bool
    filled: bool
    context: list[float] | None

    @property
    def place(self) -> Place:
        return self.decision_id, self.position


@dataclass(frozen=True)
class Accounts:
    """One side of the comparison: alpha and beta in millionths, and decisions, by arm."""

    alpha: dict[int, int]
    beta: dict[int, int]
    decisions: dict[int, int]


def logged(platform: Platform, name: str) -> list[Logged]:
    return [Logged(*row) for row in platform.rows(_EVENTS, name)]


def outcomes(events: list[Logged], *, contextual: bool = False) -> dict[Place, Logged]:
    """Return the rewards that count, by the rules and not by what the service has noted of them.

    One of a deferred decision counts if the decision was activated, one of a contextual experiment if there is a
    context.
    """
    shown = {event.place for event in events if event.kind == "activation" and not event.filled}
    contexts = {event.place for event in events if event.kind == "decision" and event.context is not None}
    return {
        event.place: event
        for event in events
        if event.kind == "reward"
        and event.micro is not None
        and event.stratum in ("bandit", "direct")
        and (not event.deferred or event.place in shown)
        and (not contextual or event.place in contexts)
    }


def folded(events: list[Logged], *, contextual: bool = False) -> Accounts:
    """Add the events up, without any help from the service's own statements."""
    alpha, beta, decisions = Counter[int](), Counter[int](), Counter[int]()
    for event in outcomes(events, contextual=contextual).values():
        alpha[event.arm] += event.micro or 0
        beta[event.arm] += MICRO - (event.micro or 0)
    for event in events:
        is_shown = event.kind == "decision" and not event.deferred
        if event.stratum == "bandit" and (is_shown or (event.kind == "activation" and not event.filled)):
            decisions[event.arm] += 1
    return Accounts(
        {arm: MICRO + alpha[arm] for arm in _ARMS},
        {arm: MICRO + beta[arm] for arm in _ARMS},
        {arm: decisions[arm] for arm in _ARMS},
    )


def in_postgres(platform: Platform, name: str) -> Accounts:
    """Return what the totals say."""
    rows = platform.rows(
        "SELECT arm_index, alpha_micro, beta_micro, decisions FROM arm_posteriors WHERE experiment_id = %s", name
    )
    return Accounts(
        {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}, {row[0]: row[3] for row in rows}
    )


def sums_in_redis(platform: Platform, name: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return alpha and beta as they stand under their documented keys."""
    with platform.store() as client:
        prefix = f"experiment:{{{name}}}:arm:"
        alpha = {arm: int(client.get(f"{prefix}{arm}:alpha") or 0) for arm in _ARMS}
        return alpha, {arm: int(client.get(f"{prefix}{arm}:beta") or 0) for arm in _ARMS}


async def settled(platform: Platform, name: str, within: float = _SETTLED_WITHIN) -> float:
    """Wait until Postgres has everything, Redis says the same, and every process is well; return how long that took.

    Nobody helps: what does not heal by itself fails here.
    """
    started, ended = time.monotonic(), time.time()
    while why := await asyncio.to_thread(_unsettled, platform, name, ended):
        if time.monotonic() - started > within:
            logs = [service.log_file.read_text()[-2_000:] for service in platform.services]
            raise AssertionError("\n".join([why, *logs]))
        await asyncio.sleep(0.05)
    return time.monotonic() - started


def _unsettled(platform: Platform, name: str, until: float) -> str:
    """Return what is missing; empty if nothing is."""
    degraded = [service.degraded() for service in platform.services]
    if any(degraded):
        return f"degraded: {degraded}"
    if not platform.rows(_SETTLED, until, name)[0][0]:
        return f"not written or settled: {platform.rows('TABLE producers')}"
    accounts, sums = in_postgres(platform, name), sums_in_redis(platform, name)
    return "" if sums == (accounts.alpha, accounts.beta) else f"Redis has {sums}, Postgres {accounts}"


def assert_nothing_lost_or_doubled(
    platform: Platform, name: str, told: Told, *, at_least: int = 0, contextual: bool = False
) -> list[Logged]:
    """Compare every answer with the ledger, and every sum with one made here; return the events."""
    assert not told.wrong, told.wrong[:5]
    assert told.acknowledged >= at_least
    events = logged(platform, name)
    written = Counter((event.place, event.kind) for event in events)
    assert [event for event, times in written.items() if times > 1] == []
    decided = {event.place: event.arm for event in events if event.kind == "decision"}
    assert told.decisions.items() <= decided.items()
    assert told.activated <= {event.decision_id for event in events if event.kind == "activation"}
    assert_rewards_are_as_told(events, told)
    accounts = in_postgres(platform, name)
    assert accounts == folded(events, contextual=contextual)
    assert (accounts.alpha, accounts.beta) == sums_in_redis(platform, name)
    assert platform.rows(_DIFFERENT_TOTALS, name, name) == []
    assert_periods_are_the_fold(platform, name)
    return events


def assert_rewards_are_as_told(events: list[Logged], told: Told) -> None:
    """Check that each acknowledged reward is there, once, for its arm, with the value that its answers gave."""
    there = {event.place: event for event in events if event.kind == "reward" and not event.filled}
    assert told.rewards.keys() - there.keys() == set(), "acknowledged, and not in the ledger"
    assert there.keys() - told.sent.keys() == set(), "in the ledger, and nobody sent it"
    wrong: dict[str, list[object]] = defaultdict(list)
    for place, event in there.items():
        arm, sent = told.sent[place]
        if event.arm != arm or event.micro not in sent:
            wrong["another reward"].append((event, arm, sent))
        answers = told.rewards.get(place, [])
        if any(status in ("applied", "duplicate") and micro != event.micro for status, micro in answers):
            wrong["another value"].append((event, answers))
        if sum(status == "applied" for status, _ in answers) > 1:
            wrong["applied twice"].append((event, answers))
    assert not wrong, {what: found[:3] for what, found in wrong.items()}


async def assert_same_weights(platform: Platform, name: str) -> None:
    """All services serve the same weights version, within the second it may take to notice a new one."""
    async with httpx.AsyncClient(timeout=5.0) as client:
        for _ in range(60):
            answers = [await client.post(f"{url}/select", json={"experiment_id": name}) for url in platform.urls]
            versions = {answer.json()["weights_version"] for answer in answers}
            if len(versions) == 1 and versions != {0}:
                return
            await asyncio.sleep(0.1)
    raise AssertionError(versions)


async def assert_models_are_the_fold(platform: Platform, name: str) -> None:
    """The published coefficients are those of a batch ridge regression on every outcome that counts.

    A model takes the numbers of a context in whole millionths.
    """
    events = logged(platform, name)
    contexts = {event.place: event.context for event in events if event.kind == "decision"}
    counted = outcomes(events, contextual=True)
    expected = []
    for arm in _ARMS:
        own = [event for event in counted.values() if event.arm == arm]
        x = np.rint(np.array([[*(contexts[event.place] or ()), 1.0] for event in own]) * MICRO) / MICRO
        rewards = np.array([event.micro for event in own]) / MICRO
        expected.append(np.linalg.solve(np.eye(x.shape[1]) + x.T @ x, x.T @ rewards))
    for _ in range(100):
        with platform.store() as client:
            record = decode_linear(client.get(f"experiment:{{{name}}}:linear"))
        if np.allclose(record.beliefs.theta, expected, atol=1e-8):
            return
        await asyncio.sleep(0.1)
    np.testing.assert_allclose(record.beliefs.theta, expected, atol=1e-8)
