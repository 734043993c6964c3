"""The panel of posterior densities as a picture, for readers who have no Grafana at hand.

`python -m dashboards.picture FILE` starts the platform on this machine, reports the impressions and clicks of five
items of the Open Bandit sample to it, asks Postgres what the panel asks, and draws the answer with Altair.
"""

import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import altair as alt
import httpx
import polars as pl
import psycopg
from psycopg.rows import namedtuple_row

from bandit_local.obd import Item, choose_arms, read_items, sample_log
from bandit_local.options import Options
from bandit_local.servers import PostgresServer
from bandit_local.servers.local_server import free_port
from bandit_local.stack import running_stack
from bandit_pipeline.charts import png
from dashboards.macros import expanded
from dashboards.queries import sql

EXPERIMENT: Final = "obd-women"
_ITEMS: Final = 5
_BATCH: Final = 500


class Point(NamedTuple):
    """A point of an arm's density: a mean reward, and the density there."""

    arm: str
    x: float
    density: float


def density_points(dsn: str, experiment: str) -> list[Point]:
    """Return what the panel of posterior densities shows of an experiment."""
    now = datetime.now(UTC)
    statement = expanded(sql("densities"), {"experiment": [experiment]}, start=now, end=now)
    with psycopg.connect(dsn, row_factory=namedtuple_row) as connection:
        return [Point(*row) for row in connection.execute(statement.encode())]


def density_chart(points: Sequence[Point], title: str, subtitle: str) -> alt.Chart:
    """Return the curves, one for each arm."""
    chart: alt.Chart = (
        alt.Chart(pl.DataFrame(points, schema=list(Point._fields), orient="row"))
        .mark_area(line=True, fillOpacity=0.12, clip=True)
        .encode(
            alt.X("x:Q", title="click rate (posterior)", axis=alt.Axis(format="%")),
            alt.Y("density:Q", title="density").stack(None),
            alt.Color("arm:N", title="arm", sort=None),
        )
        .properties(width=640, height=300, title=alt.Title(title, subtitle=subtitle))
    )
    return chart


def main(path: Path) -> None:
    items = choose_arms(read_items(sample_log()), _ITEMS)
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder) / "postgres") as postgres:
        options = Options(data=Path(folder), port=free_port(), postgres_dsn=postgres.dsn)
        with running_stack(options) as stack, httpx.Client(base_url=stack.url, timeout=30.0) as client:
            report(client, items)
        points = density_points(postgres.dsn, EXPERIMENT)
    rewards, clicks = sum(item.impressions for item in items), sum(item.clicks for item in items)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        png(
            density_chart(
                points,
                "Posterior densities",
                f"Five items of the Open Bandit sample (random policy, campaign women): {rewards:,} impressions, "
                f"{clicks} clicks",
            )
        )
    )


def report(client: httpx.Client, items: Sequence[Item]) -> None:
    """Create the experiment and report every logged impression of its arms, clicked or not, as a direct reward."""
    body: dict[str, Any] = {"experiment_id": EXPERIMENT, "arms": [item.arm for item in items]}
    client.post("/experiments", json=body).raise_for_status()
    rewards = [
        {"experiment_id": EXPERIMENT, "arm": item.arm, "reward": float(index < item.clicks)}
        for item in items
        for index in range(item.impressions)
    ]
    for start in range(0, len(rewards), _BATCH):
        client.post("/reward/batch", json={"items": rewards[start : start + _BATCH]}).raise_for_status()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
