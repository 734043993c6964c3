"""How long an emptied Redis takes to come back from Postgres: `python -m benchmarks.refill 1000000 10000000`.

Half of the events are decisions, half their rewards, spread evenly over 30 days; the reward window is a day, so a
thirtieth of the rewards comes back as markers too. The recent snapshot lacks the last 10,000 events: the service takes
one at least that often. What comes back is compared with the sum of the events before a figure is reported.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import psycopg
import redis
import typer
from rich.console import Console

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service.domain.experiment import ArmDefinition, Experiment
from bandit_service.events.refill import Refiller, posterior_of
from bandit_service.ledger import migrations
from bandit_service.ledger.events import ArmTotals, EventLog, Snapshot, SnapshotRow
from bandit_service.ledger.experiments import ExperimentsRepository, Reason
from bandit_service.ledger.pool import make_pool
from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore
from benchmarks.table import Table

NAME: Final = "homepage"
REWARD_MICRO: Final = 250_000
SINCE_SNAPSHOT: Final = 10_000
EXPERIMENT: Final = Experiment(
    NAME,
    "default",
    "running",
    1,
    (ArmDefinition(index=0, id="a"), ArmDefinition(index=1, id="b"), ArmDefinition(index=2, id="c")),
    "a",
    0.0,
)
_SEED = """
INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, epoch, seq, arm_index,
    stratum, propensity, reward_micro, believed)
SELECT %(name)s, 'd1.AAAAAQAAAAc_0zMzMzMzMwAAAZqV1Y7gq0m3zXl6p2hob21l' || n, kind, at, at, 0,
    2 * n - 1 + (kind = 'reward')::int, n %% 3, 'bandit', 0.333, CASE kind WHEN 'reward' THEN %(micro)s END,
    kind = 'reward'
FROM generate_series(1, %(decisions)s) AS n, unnest(ARRAY['decision', 'reward']) AS kind,
    LATERAL (SELECT now() - interval '30 days' * (1 - n / %(decisions)s::float8) AS at)
"""


def seed(dsn: str, events: int) -> None:
    """Write so many events, as if they had come by the stream."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_SEED, {"name": NAME, "micro": REWARD_MICRO, "decisions": events // 2})
        connection.execute("UPDATE event_positions SET committed_seq = %s", (events,))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE bandit_events")


def expected_totals(events: int) -> dict[int, ArmTotals]:
    """Return by arm what so many events amount to: decision n and its reward belong to arm n modulo 3."""
    totals = {}
    for index in range(3):
        decisions = len(range(index or 3, events // 2 + 1, 3))
        totals[index] = ArmTotals(reward_micro=decisions * REWARD_MICRO, rewards=decisions, decisions=decisions)
    return totals


def snapshot_rows(seq: int) -> list[SnapshotRow]:
    """Return the snapshot that the service would have taken at that sequence number."""
    rows = []
    for arm in EXPERIMENT.arms:
        totals = expected_totals(seq)[arm.index]
        believed = posterior_of(arm.prior_alpha_micro, arm.prior_beta_micro, totals)
        rows.append(
            SnapshotRow(
                experiment_id=NAME,
                epoch=0,
                seq=seq,
                arm_index=arm.index,
                arm=arm.id,
                taken_at=time.time(),
                alpha_micro=believed.alpha_micro,
                beta_micro=believed.beta_micro,
                decisions=totals.decisions,
                rewards=totals.rewards,
            )
        )
    return rows


async def refill_seconds(url: str, log: EventLog, events: int) -> float:
    """Empty Redis, refill it, and return how long that took.

    Raises:
        RuntimeError: what came back is not the sum of the events.
    """
    with redis.Redis.from_url(url) as client:
        client.flushall()
        store = RedisStore(url, timeout=30.0)
        try:
            started = time.perf_counter()
            await Refiller(store, log, token=NAME, clock=time.time).refill(EXPERIMENT, None)
            seconds = time.perf_counter() - started
        finally:
            await store.close()
        for arm in EXPERIMENT.arms:
            believed = posterior_of(arm.prior_alpha_micro, arm.prior_beta_micro, expected_totals(events)[arm.index])
            if int(client.get(ExperimentKeys(NAME).alpha(arm.index)) or 0) != believed.alpha_micro:
                raise RuntimeError(f"the refill of {events} events did not bring arm {arm.id} back")
    return seconds


async def measure(url: str, dsn: str, events: int) -> tuple[float, float, int]:
    """Return the seconds of a refill without and with a recent snapshot, and the markers that were part of it."""
    async with make_pool(dsn) as pool:
        log = EventLog(pool)
        await ExperimentsRepository(pool).create(EXPERIMENT, Reason("bench", "bench", 0.0), unit_salt=bytes(16))
        await asyncio.to_thread(seed, dsn, events)
        without = await refill_seconds(url, log, events)
        if (await log.last_snapshot(NAME, EXPERIMENT.priors)) != Snapshot():
            raise RuntimeError("there must be no snapshot yet")
        await log.save_snapshot(snapshot_rows(events - SINCE_SNAPSHOT))
        with_snapshot = await refill_seconds(url, log, events)
    with redis.Redis.from_url(url) as client:
        markers = sum(1 for _ in client.scan_iter(ExperimentKeys(NAME).rewarded("*"), count=10_000))
    return without, with_snapshot, markers


def table(sizes: Sequence[int]) -> Table:
    """Measure every size on stores of its own."""
    rows = []
    for events in sizes:
        with (
            tempfile.TemporaryDirectory() as folder,
            RedisServer(Path(folder) / "redis") as store,
            PostgresServer(Path(folder) / "postgres") as database,
        ):
            migrations.upgrade(database.dsn)
            without, with_snapshot, markers = asyncio.run(measure(store.url, database.dsn, events))
        rows.append((f"{events:,}", f"{markers:,}", f"{without:.1f} s", f"{with_snapshot:.1f} s"))
    columns = ("events", "of them markers to bring back", "without a snapshot", "with one 10,000 events old")
    return Table("Refill of an emptied Redis", columns, rows)


def main(
    sizes: Annotated[list[int] | None, typer.Argument(help="Numbers of events, each even and above 10,000.")] = None,
) -> None:
    """Measure, and print the table as docs/operations.md has it."""
    measured = table(sizes or [1_000_000])
    measured.show(Console())
    typer.echo(measured.markdown())


if __name__ == "__main__":
    typer.run(main)
