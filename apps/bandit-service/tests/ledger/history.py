"""A ledger with a past: events of many days, and what the platform derives from them, as if it had run all along."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection, sql

from bandit_core.rules.experiment import Experiment
from bandit_service.domain.event import Event, Row
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.leases import Lease
from bandit_service.ledger.partitions import Day, Partitions
from bandit_service.ledger.pool import Pool, statement
from bandit_service.ledger.settling import Settling
from bandit_service.ledger.writer import LedgerWriter

from .decisions import START_MS, Decision, World, new_experiment

EXPERIMENTS: Final = 20
HOLDER: Final = "me"
# So long that decisions of the present still wait for the end of their window a day later, or no longer.
_WINDOW: Final = 3_600.0
_KINDS: Final[tuple[dict[str, Any], ...]] = ({}, {"missing_reward": "zero"}, {"contextual": True}, {"holdout": 0.1})
# What a decision of each of these kinds leaves: the last one defers its decisions.
_EVENTS_A_DECISION: Final = (1.4 + 3.0 + 1.8 + 2.4) / 4
_PRESENT_SECONDS: Final = 7_200
_PRESENT_DECISIONS: Final = 500

# Ids are as long as those of the service, and random behind their head.
_EVENTS: Final = """
INSERT INTO bandit_events (
    experiment_id, decision_id, kind, decision_time, event_time, recorded_at, batch, ord, arm_index, stratum, counted,
    deferred, filled, propensity, weights_version, revision, reward_micro, unit_hash, context, settles, bucket
)
SELECT
    experiment_id, 'd1.' || arm || md5(n::text || 'first') || md5(n::text || 'second') || md5(n::text), kind, at,
    at + lag, at + lag, n, ord, arm, 'bandit', counted, experiment_kind = 3, false, 1.0 / 3,
    {version}, 1, CASE WHEN kind IN ('reward', 'outcome') THEN rewarded * 1000000 END,
    CASE WHEN kind = 'decision' AND experiment_kind IN (0, 3) THEN decode(md5('unit' || n), 'hex') END,
    CASE WHEN kind = 'decision' AND experiment_kind = 2 THEN '[0.5, 0.25]'::jsonb END,
    experiment_kind >= 2 AND kind <> 'outcome',
    CASE WHEN experiment_kind = 1 AND kind <> 'outcome' THEN date_bin('36 seconds', at, 'epoch') END
FROM (
    SELECT
        n, experiment.id AS experiment_id, experiment.kind AS experiment_kind, n / {experiments} % 3 AS arm,
        (n / {experiments} % 5 < 2)::int AS rewarded, n / {experiments} % 5 < 3 AS shown,
        {start} + (n - {first}) * 86400.0 / {decisions} * interval '1 second' AS at
    FROM generate_series({first}, {first} + {decisions} - 1) AS n
    JOIN (
        SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, (metadata ->> 'kind')::int AS kind
        FROM (SELECT id, definition -> 'metadata' AS metadata FROM experiments) AS defined
    ) AS experiment ON place = n % {experiments}
) AS decision
CROSS JOIN LATERAL (VALUES
    ('decision', 0, interval '0', experiment_kind <> 3, true),
    ('activation', 1, interval '1 second', true, experiment_kind = 3 AND shown),
    ('reward', 2, interval '9 seconds', experiment_kind = 0, rewarded = 1 OR experiment_kind = 1),
    ('outcome', 3, interval '10 seconds', true, experiment_kind = 1 OR experiment_kind > 1 AND rewarded = 1)
) AS event (kind, ord, lag, counted, is_there)
WHERE is_there
ORDER BY at + lag
"""
_DERIVED: Final = """
INSERT INTO linear_checkpoints
SELECT id, 1000000000, now(), '' FROM experiments WHERE definition -> 'metadata' ->> 'kind' = '2';

INSERT INTO arm_totals
SELECT
    experiment_id, arm_index, stratum, segment, weights_version, 0, decisions, rewards, reward_micro, square_micro
FROM folded_events;

INSERT INTO exposures
SELECT experiment_id, unit_hash, decision_id, decision_time, stratum
FROM bandit_events WHERE kind = 'decision' AND unit_hash IS NOT NULL;

INSERT INTO own_ids
SELECT experiment_id, decision_id, decision_time, '{}'
FROM bandit_events WHERE kind = 'decision' AND batch % 50 = 0;

INSERT INTO allocations
SELECT DISTINCT ON (experiment_id, weights_version)
    experiment_id, weights_version, decision_time, 1, '{}'::jsonb, '{}'::jsonb, '{}'::jsonb, '{}'::jsonb, ''
FROM bandit_events WHERE kind = 'decision'
ORDER BY experiment_id, weights_version, decision_time;

INSERT INTO weights (experiment_id, version, published_at, record, explanation, summary, assessment)
SELECT DISTINCT ON (experiment_id)
    experiment_id, weights_version, published_at,
    jsonb_build_object(
        'version', weights_version, 'revision', 1, 'published_at', 0, 'changed_at', 0, 'weights', weights,
        'prob_best', weights, 'expected_loss', weights
    ),
    '{}'::jsonb, '', '{}'::jsonb
FROM allocations ORDER BY experiment_id, weights_version DESC;

INSERT INTO posterior_snapshots (experiment_id, taken_at, arm_index, arm, alpha_micro, beta_micro, decisions, rewards)
SELECT experiment_id, at, arm_index, arm, 0, 0, 0, 0
FROM
    experiment_arms,
    (SELECT min(decision_time) AS first, max(decision_time) AS last FROM bandit_events) AS past,
    generate_series(first, last, interval '1 hour') AS at
"""


async def new_experiments(pool: Pool) -> list[Experiment]:
    """Store experiments of every kind, in the order of their ids."""
    repository, found = ExperimentsRepository(pool), []
    for number in range(EXPERIMENTS):
        kind = number % len(_KINDS)
        fields: dict[str, Any] = {"id": f"past-{number:02}", "reward_window": _WINDOW, "metadata": {"kind": kind}}
        experiment = new_experiment(**fields | _KINDS[kind])
        found.append(await repository.create(experiment, Reason("test", "test", time.time()), unit_salt=b"0" * 16))
    return found


async def write_past(pool: Pool, events: int, *, days: int, versions: int) -> int:
    """Write so many events, about, of the days before the present; return how many there are.

    Every experiment has had so many versions of its weights, however many events there are.
    """
    today = Day.of(datetime.fromtimestamp(START_MS / 1_000, UTC))
    past = [Day(today.on - timedelta(days=before)) for before in range(days, 0, -1)]
    await Partitions(pool).make([*past, today, today.following], largest_default=0, seconds=60.0)
    decisions = round(events / days / _EVENTS_A_DECISION)
    async with pool.connection() as connection:
        for number, day in enumerate(past):
            await connection.execute(_events_of(day, number, decisions, f"1 + n * {versions} / {decisions * days}"))
        await connection.execute(_DERIVED)
        for day in past:
            await connection.execute(statement("fold_day"), {"day": day.on, "start": day.start, "end": day.end})
        await _vacuum(connection)
        [count] = await (await connection.execute("SELECT count(*) FROM bandit_events")).fetchone() or [0]
    return int(count)


def _events_of(day: Day, number: int, decisions: int, version: str) -> sql.Composed:
    return sql.SQL(_EVENTS).format(
        first=sql.Literal(number * decisions),
        decisions=sql.Literal(decisions),
        start=sql.Literal(day.start),
        experiments=sql.Literal(EXPERIMENTS),
        version=sql.SQL(version),
    )


async def _vacuum(connection: AsyncConnection[Any]) -> None:
    """Do what autovacuum does by and by. It never looks at a partitioned table itself, only at its partitions."""
    cursor = await connection.execute(
        "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for (table,) in await cursor.fetchall():
        await connection.execute(f"VACUUM ANALYZE {table}".encode())


def present_events(experiments: Sequence[Experiment]) -> list[Event]:
    """Return what came in within the present: the same whatever the past."""
    found = []
    for experiment in experiments:
        kind = experiment.metadata["kind"]
        for number in range(_PRESENT_DECISIONS):
            decision = Decision(
                number,
                arm=number % 3,
                at_ms=START_MS + number * _PRESENT_SECONDS * 1_000 // _PRESENT_DECISIONS,
                deferred=kind == 3,
                activated=kind == 3 and number % 5 < 3,
                reward=1_000_000 if number % 5 < 2 else None,
                context=[0.5, 0.25] if kind == 2 else None,
                unit=f"{number:032x}" if kind in (0, 3) else None,
                weights_version=1_000_000,
            )
            found += decision.events(experiment)
    return sorted(found, key=lambda event: event.event_ms)


class Present:
    """The load of now on a ledger with a past: a process that writes, and looks after every experiment."""

    def __init__(self, pool: Pool, experiments: Sequence[Experiment], timeline: str) -> None:
        self.pool = pool
        self.experiments = experiments
        self.timeline = timeline
        self.writer = LedgerWriter(pool, slot=1)
        self.settling = Settling(pool, slot=1)
        self._batches = 10**12
        # The past's turns of settling end before it.
        self.turn = 10**9

    @classmethod
    async def of(cls, pool: Pool, experiments: Sequence[Experiment]) -> Present:
        async with pool.connection() as connection:
            [timeline] = await (await connection.execute(statement("timeline"))).fetchone() or [""]
        for experiment in experiments:
            world = World(pool, experiment, Lease(experiment.id, HOLDER, 1), Settling(pool))
            await world.lend(world.lease)
            await world.execute("UPDATE leases SET turn = %s WHERE experiment_id = %s", 10**9, experiment.id)
            await world.register(HOLDER, round(time.time() * 1_000))
        present = cls(pool, experiments, timeline)
        events = present_events(experiments)
        for start in range(0, len(events), 500):
            await present.write(events[start : start + 500])
        async with pool.connection() as connection:
            await _vacuum(connection)
        return present

    def lease(self, experiment: Experiment) -> Lease:
        return Lease(experiment.id, HOLDER, 1)

    async def write(self, events: Sequence[Event]) -> None:
        """Write a batch."""
        self._batches += 1
        rows = [Row(self._batches, place, event) for place, event in enumerate(events)]
        written = await self.writer.write(rows, self.timeline)
        assert not written.refused
