"""Decisions as a test tells them, the events they leave, and what those add up to: computed without the rules."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bandit_core.rules.experiment import ArmDefinition, Experiment, FeaturesDefinition, PolicyDefinition
from bandit_core.rules.selection import Stratum
from bandit_core.rules.treatment import Treatment, treat_activation, treat_decision, treat_reward
from bandit_service.domain.event import Event, Row
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.settling import Settled, Settling
from bandit_service.ledger.writer import LedgerWriter

# Decisions are made from here on; their windows are long over.
START_MS = (int(time.time()) - 86_400) * 1_000
WINDOW = 100.0
END_MS = START_MS + 1_000_000
_SUMS = """
SELECT arm_index, stratum, segment, weights_version, sum(decisions)::bigint, sum(rewards)::bigint,
    sum(reward_micro)::bigint, sum(square_micro)::bigint
FROM {table} WHERE experiment_id = %s GROUP BY 1, 2, 3, 4
"""
_numbers = itertools.count(1)
_batches = itertools.count(1_000)


def new_experiment(*, contextual: bool = False, **fields: Any) -> Experiment:
    """Return an experiment of three arms under a name of its own."""
    given: dict[str, Any] = {
        "id": f"settled-{next(_numbers)}",
        "namespace": "default",
        "status": "running",
        "revision": 1,
        "arms": tuple(ArmDefinition(index, name) for index, name in enumerate("abc")),
        "default_arm": "a",
        "created_at": START_MS / 1_000,
        "reward_window": WINDOW,
    }
    if contextual:
        given |= {"policy": PolicyDefinition("linear_thompson"), "context": FeaturesDefinition(dimension=2)}
    return Experiment(**given | fields)


@dataclass(frozen=True)
class Decision:
    """What happened to one decision. `reward` in millionths; "ignored" for an outcome that is."""

    number: int
    arm: int = 0
    stratum: Stratum = "bandit"
    at_ms: int = START_MS
    deferred: bool = False
    arrives: bool = True
    activated: bool = False
    reward: int | str | None = None
    segment: str | None = None
    context: list[float] | None = None
    unit: str | None = None
    weights_version: int = 1

    @property
    def id(self) -> str:
        return f"d{self.number:05}"

    def events(self, experiment: Experiment) -> list[Event]:
        """Return the events, each as the service would write it."""
        context = None if self.context is None else msgspec.json.encode(self.context).decode()
        found = []
        if self.stratum != "direct" and self.arrives:
            treatment = treat_decision(experiment, self.stratum, self.at_ms, deferred=self.deferred)
            found.append(self._event(experiment, "decision", treatment, context=context, unit_hash=self.unit))
        if self.activated:
            treatment = treat_activation(experiment, self.stratum, self.at_ms)
            found.append(self._event(experiment, "activation", treatment, event_ms=self.at_ms + 5_000))
        if self.reward is not None:
            micro = None if isinstance(self.reward, str) else self.reward
            is_direct = self.stratum == "direct"
            treatment = treat_reward(
                experiment,
                self.stratum,
                self.at_ms,
                micro,
                deferred=self.deferred,
                has_context=is_direct and context is not None,
            )
            found.append(
                self._event(
                    experiment,
                    "reward",
                    treatment,
                    event_ms=self.at_ms + 9_000,
                    reward_micro=micro,
                    context=context if is_direct else None,
                )
            )
        return found

    def _event(self, experiment: Experiment, kind: Any, treatment: Treatment, **fields: Any) -> Event:
        return Event(
            **{
                "experiment_id": experiment.id,
                "decision_id": self.id,
                "kind": kind,
                "decision_ms": self.at_ms,
                "event_ms": self.at_ms,
                "arm_index": self.arm,
                "stratum": self.stratum,
                "deferred": self.deferred,
                "propensity": 0.5,
                "weights_version": self.weights_version,
                "segment": self.segment,
                **treatment._asdict(),
                **fields,
            }
        )


@dataclass
class Expected:
    """Sums by arm, stratum, segment and weights version; learnt outcomes as (arm, context, reward, time)."""

    decisions: Counter[tuple[int, str, str, int]] = field(default_factory=Counter)
    rewards: dict[tuple[int, str, str, int], list[int]] = field(default_factory=dict)
    learnt: list[tuple[int, tuple[float, ...], int, int]] = field(default_factory=list)

    def rows(self) -> dict[tuple[int, str, str, int], tuple[int, int, int, int]]:
        """Return decisions, rewards, their sum and that of their squares, all in millionths, by key."""
        return {
            key: (
                self.decisions[key],
                len(self.rewards.get(key, ())),
                sum(self.rewards.get(key, ())),
                sum((each * each + 500_000) // 1_000_000 for each in self.rewards.get(key, ())),
            )
            for key in self.decisions.keys() | self.rewards.keys()
        }


def expected(experiment: Experiment, decisions: Iterable[Decision]) -> Expected:
    """Return what decisions add up to once everything is settled and every window has closed."""
    found = Expected()
    for each in decisions:
        if not (each.arrives or each.activated or each.reward is not None):
            continue
        key = (each.arm, each.stratum, each.segment or "", each.weights_version)
        waits = experiment.missing_reward == "zero" and each.stratum in ("bandit", "holdout")
        is_shown = each.activated if each.deferred else each.stratum != "direct" and (each.arrives or waits)
        found.decisions[key] += is_shown
        if not found.decisions[key]:
            del found.decisions[key]
        reward: int | str | None = 0 if waits and each.reward is None else each.reward
        if not isinstance(reward, int) or each.stratum in ("paused", "concluded"):
            continue
        if each.deferred and not each.activated:
            continue
        has_context = each.context is not None and (each.arrives or each.stratum == "direct")
        if experiment.is_contextual and each.stratum == "bandit" and not waits and not has_context:
            continue
        found.rewards.setdefault(key, []).append(reward)
        if experiment.is_contextual and each.stratum != "holdout" and has_context:
            at_ms = each.at_ms + (round(WINDOW * 1_000) if each.reward is None else 9_000)
            found.learnt.append((each.arm, tuple(each.context or ()), reward, at_ms))
    return found


@dataclass
class World:
    """A ledger with an experiment, whose lease is held."""

    pool: Pool
    experiment: Experiment
    lease: Lease
    settling: Settling

    @classmethod
    async def of(cls, pool: Pool, experiment: Experiment, **limits: int) -> World:
        async with pool.connection() as connection:
            await connection.execute(
                "INSERT INTO namespaces (name, unit_salt) VALUES ('default', 'salt') ON CONFLICT DO NOTHING"
            )
            await connection.execute(
                "INSERT INTO experiments (id, namespace, status, revision, definition) "
                "VALUES (%s, 'default', 'running', 1, '{}')",
                [experiment.id],
            )
        world = cls(pool, experiment, Lease(experiment.id, "me", 1), Settling(pool, slot=3, **limits))
        await world.lend(world.lease)
        await world.register("me")
        return world

    async def execute(self, statement: str, *values: object) -> list[Any]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    async def lend(self, lease: Lease) -> None:
        """Give the lease to a holder."""
        await self.execute(
            "INSERT INTO leases (experiment_id, holder, token) VALUES (%s, %s, %s) "
            "ON CONFLICT (experiment_id) DO UPDATE SET holder = excluded.holder, token = excluded.token",
            lease.experiment_id,
            lease.holder,
            lease.token,
        )

    async def register(
        self, name: str, drained_ms: int = END_MS * 2, *, dead: bool = False, timeline: str = ""
    ) -> None:
        """Enter a process that has written every event before a time."""
        await self.execute(
            "INSERT INTO producers (name, slot, drained_to, timeline, dead) VALUES (%s, 0, to_timestamp(%s / 1000.0), "
            "coalesce(nullif(%s, ''), ledger_timeline()), %s) "
            "ON CONFLICT (name) DO UPDATE SET drained_to = excluded.drained_to, dead = excluded.dead, "
            "timeline = excluded.timeline",
            name,
            drained_ms,
            timeline,
            dead,
        )

    async def write(self, events: Sequence[Event], *, slot: int = 1) -> None:
        number = next(_batches)
        rows = [Row(number, place, event) for place, event in enumerate(events)]
        [(timeline,)] = await self.execute("SELECT ledger_timeline()")
        written = await LedgerWriter(self.pool, slot=slot).write(rows, timeline)
        assert not written.refused

    async def settle(self) -> list[Settled]:
        """Settle until nothing is left."""
        turns = [await self.settling.settle(self.lease, self.experiment)]
        while turns[-1].has_more:
            turns.append(await self.settling.settle(self.lease, self.experiment))
        return turns

    async def close(self, now_ms: int = END_MS) -> list[Settled]:
        """Close until nothing is left."""
        turns = [await self.settling.close(self.lease, self.experiment, now_ms)]
        while turns[-1].has_more:
            turns.append(await self.settling.close(self.lease, self.experiment, now_ms))
        return turns

    async def totals(self, table: str = "arm_totals") -> dict[tuple[int, str, str, int], tuple[int, ...]]:
        """Return the sums by key, all slots together, without keys of zeros."""
        rows = await self.execute(_SUMS.format(table=table), self.experiment.id)
        return {row[:4]: row[4:] for row in rows if any(row[4:])}

    async def left(self) -> tuple[int, int]:
        """Return how many rows wait to be settled, and how many buckets are open."""
        [counts] = await self.execute(
            "SELECT (SELECT count(*) FROM unsettled WHERE experiment_id = %s), "
            "(SELECT count(*) FROM open_buckets WHERE experiment_id = %s)",
            self.experiment.id,
            self.experiment.id,
        )
        return counts  # type: ignore[no-any-return]

    async def kinds(self, decision: Decision) -> dict[str, tuple[int | None, bool, bool]]:
        """Return the reward, whether it is counted, and whether it was supplied, of each event of a decision."""
        rows = await self.execute(
            "SELECT kind, reward_micro, counted, filled FROM bandit_events "
            "WHERE experiment_id = %s AND decision_id = %s",
            self.experiment.id,
            decision.id,
        )
        return {kind: tuple(rest) for kind, *rest in rows}
