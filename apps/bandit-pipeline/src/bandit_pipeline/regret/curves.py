"""Regret of policies over decisions, with bands over independent runs."""

from dataclasses import dataclass
from typing import Final

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from bandit_core.policies import make_policy
from bandit_core.policies.base import Policy
from bandit_core.simulation import BernoulliEnvironment, Published, run
from bandit_pipeline.charts import HEIGHT, WIDTH, Chart

BEST: Final = "best_arm"
COMPARED: Final = ("thompson", "uniform", BEST)
BAND: Final = (0.1, 0.9)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated: independent runs of so many decisions, with new weights after every `every` of them."""

    decisions: int
    every: int
    runs: int
    seed: int


def click_rates(log: pl.DataFrame) -> NDArray[np.float64]:
    """Return the click rate of every arm in a log, in the order of arms."""
    return log.group_by("arm").agg(rate=pl.col("reward").mean()).sort("arm")["rate"].to_numpy()


def curves(rates: NDArray[np.float64], size: Size) -> pl.DataFrame:
    """Return cumulative pseudo-regret: columns policy, decisions, mean, low and high (10% and 90% of the runs).

    Compared are Thompson sampling, uniform choice, and always the best arm, which cannot be known beforehand: 0.
    """
    environment = BernoulliEnvironment(rates)
    return pl.concat([_curve(environment, name, size) for name in COMPARED])


def _curve(environment: BernoulliEnvironment, name: str, size: Size) -> pl.DataFrame:
    strategy = Published(_policy(environment, name), every=size.every)
    rng = np.random.default_rng([size.seed, COMPARED.index(name)])
    points = []
    for look in run(environment, strategy, decisions=size.decisions, runs=size.runs, rng=rng):
        regret = (look.trials * environment.gaps).sum(axis=1)
        low, high = np.quantile(regret, BAND)
        points.append((name, look.decisions, float(regret.mean()), float(low), float(high)))
    return pl.DataFrame(points, schema=["policy", "decisions", "mean", "low", "high"], orient="row")


def _policy(environment: BernoulliEnvironment, name: str) -> Policy:
    if name != BEST:
        return make_policy(name)
    return make_policy("fixed", {"weights": {environment.arms[int(environment.gaps.argmin())]: 1.0}})


def chart(found: pl.DataFrame, title: str) -> Chart:
    """Return the curves with their bands."""
    x = alt.X("decisions:Q", title="decisions")
    color = alt.Color("policy:N", title=None, sort=list(COMPARED), legend=alt.Legend(orient="right", symbolOpacity=1.0))
    band = (
        alt.Chart(found).mark_area(opacity=0.2).encode(x, alt.Y("low:Q", title="clicks lost"), alt.Y2("high:Q"), color)
    )
    line = alt.Chart(found).mark_line().encode(x, alt.Y("mean:Q"), color)
    return alt.layer(band, line).properties(width=WIDTH, height=HEIGHT, title=title)
