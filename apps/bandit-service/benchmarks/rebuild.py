"""How long it takes until everything is back that derives from events: `python -m benchmarks.rebuild 1000000`.

Half of the events are decisions, half their rewards, spread evenly over 30 days and over the experiments. Redis is
emptied while a service runs: definitions, weights and posteriors come back from the totals. The totals themselves are
added up from the events, as operations.md has it for totals that differ. What comes back is compared with sums made
here before a figure is reported.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import httpx
import psycopg
import redis
import typer
from rich.console import Console

from bandit_service.mirror.keys import ExperimentKeys
from benchmarks.servers import Stores, running_stores
from benchmarks.table import Table

ARMS: Final = ("a", "b", "c")
REWARD_MICRO: Final = 250_000
MICRO: Final = 1_000_000
_WITHIN: Final = 600.0
_LEAST_EVENTS: Final = 2
_SEED: Final = """
INSERT INTO bandit_events (experiment_id, decision_id, kind, decision_time, event_time, batch, ord, arm_index,
    stratum, counted, propensity, weights_version, reward_micro)
SELECT 'experiment-' || n %% %(experiments)s, 'd1.AAAAAQAAAAc_0zMzMzMzMwAAAZqV1Y7gq0m3zXl6p2hob21l' || n, kind, at, at,
    n, (kind = 'reward')::int, n / %(experiments)s %% 3, 'bandit', true, 0.333, 1,
    CASE kind WHEN 'reward' THEN %(micro)s END
FROM generate_series(0, %(decisions)s - 1) AS n, unnest(ARRAY['decision', 'reward']) AS kind,
    LATERAL (SELECT now() - interval '30 days' * (1 - n / %(decisions)s::float8) AS at)
"""
_TOTALS: Final = """
INSERT INTO arm_totals
SELECT experiment_id, arm_index, stratum, segment, weights_version, 0, decisions, rewards, reward_micro, square_micro
FROM folded_events
"""
_SUMS: Final = "SELECT experiment_id, arm_index, alpha_micro, beta_micro FROM arm_posteriors"

type Sums = dict[tuple[str, int], tuple[int, int]]


def expected_sums(events: int, experiments: int) -> Sums:
    """Return alpha and beta, in millionths, that so many events amount to."""
    sums: Sums = {}
    for number in range(experiments):
        decisions = len(range(number, events // 2, experiments))
        for arm in range(len(ARMS)):
            rewards = len(range(arm, decisions, len(ARMS)))
            beta = MICRO + rewards * (MICRO - REWARD_MICRO)
            sums[f"experiment-{number}", arm] = (MICRO + rewards * REWARD_MICRO, beta)
    return sums


def create(url: str, experiments: int) -> None:
    with httpx.Client(base_url=url, timeout=30.0) as client:
        for number in range(experiments):
            body = {"experiment_id": f"experiment-{number}", "arms": ARMS}
            client.post("/experiments", json=body).raise_for_status()


def seed(dsn: str, events: int, experiments: int) -> float:
    """Write so many events, and add them up; return how many seconds adding up took.

    Raises:
        RuntimeError: the totals are not the sum of the events.
    """
    parameters = {"experiments": experiments, "micro": REWARD_MICRO, "decisions": events // 2}
    with psycopg.connect(dsn) as connection:
        connection.execute(_SEED, parameters)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE bandit_events")
        started = time.perf_counter()
        connection.execute(_TOTALS)
        seconds = time.perf_counter() - started
        found = {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(_SUMS)}
    if found != expected_sums(events, experiments):
        raise RuntimeError(f"the totals are not the sum of the {events} events")
    return seconds


def seconds_until_mirrored(url: str, expected: Sums) -> float:
    """Wait until Redis has every experiment with its weights, and the sums it should have; return the seconds.

    Raises:
        RuntimeError: that does not come about.
    """
    started = time.perf_counter()
    with redis.Redis.from_url(url, decode_responses=True) as client:
        while not _is_mirrored(client, expected):
            if time.perf_counter() - started > _WITHIN:
                raise RuntimeError("Redis does not get back what it should have")
            time.sleep(0.02)
    return time.perf_counter() - started


def _is_mirrored(client: redis.Redis, expected: Sums) -> bool:
    every = {name: ExperimentKeys(name) for name, _ in expected}
    if client.exists(*(key for keys in every.values() for key in (keys.definition, keys.weights))) < 2 * len(every):
        return False
    values = client.mget([key for name, arm in expected for key in (every[name].alpha(arm), every[name].beta(arm))])
    return values == [str(micro) for sums in expected.values() for micro in sums]


def measure(stores: Stores, events: int, experiments: int) -> tuple[float, float]:
    """Return the seconds in which the totals, and what Redis has of everything, are rebuilt."""
    expected = expected_sums(events, experiments)
    with stores.service() as service:
        create(service.url, experiments)
    totals = seed(stores.postgres.dsn, events, experiments)
    with stores.service():
        seconds_until_mirrored(stores.redis.url, expected)
        with redis.Redis.from_url(stores.redis.url) as client:
            client.flushall()
        return totals, seconds_until_mirrored(stores.redis.url, expected)


def table(sizes: Sequence[int], experiments: int) -> Table:
    """Measure every size on stores of its own."""
    rows = []
    for events in sizes:
        with tempfile.TemporaryDirectory() as folder, running_stores(Path(folder)) as stores:
            totals, mirror = measure(stores, events, experiments)
        rows.append((f"{events:,}", f"{experiments:,}", f"{mirror:.1f} s", f"{totals:.1f} s"))
    return Table("Everything rebuilt", ("events", "experiments", "Redis, from totals", "totals, from events"), rows)


def main(
    sizes: Annotated[list[int] | None, typer.Argument(min=_LEAST_EVENTS, help="Numbers of events.")] = None,
    experiments: Annotated[int, typer.Option(min=1, help="Among which they are spread.")] = 10,
) -> None:
    """Measure, and print the table as docs/operations.md has it."""
    measured = table(sizes or [1_000_000], experiments)
    measured.show(Console())
    typer.echo(measured.markdown())


if __name__ == "__main__":
    typer.run(main)
