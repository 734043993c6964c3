"""Every registered policy, replayed on a log that was made at random."""

from collections.abc import Mapping
from typing import Final

import altair as alt
import numpy as np
import polars as pl

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.policy_replay import Replay, replay
from bandit_core.policies import make_policy, policy_names
from bandit_core.policies.base import Policy
from bandit_pipeline.charts import HEIGHT, WIDTH, Chart

POINTS: Final = 200
"""How many points of a curve are kept."""


def registered(log: LoggedDecisions) -> dict[str, Policy]:
    """Return every registered policy with its own defaults; a fixed split gives everything to the arm logged most."""
    needed = {"fixed": {"weights": {str(int(np.bincount(log.arms).argmax())): 1.0}}}
    return {name: make_policy(name, needed.get(name)) for name in policy_names()}


def replay_all(log: LoggedDecisions, *, every: int, seed: int) -> dict[str, Replay]:
    """Replay every policy on the same log, each with random numbers of its own."""
    policies = registered(log)
    return {
        name: replay(policy, log, rng=np.random.default_rng([seed, number]), every=every)
        for number, (name, policy) in enumerate(policies.items())
    }


def summary(replays: Mapping[str, Replay]) -> pl.DataFrame:
    """Return one row per policy: how many matches and clicks its mean reward rests on."""
    rows = [(name, found.log_rows, found.matches, found.clicks, found.mean_reward) for name, found in replays.items()]
    return pl.DataFrame(
        rows,
        schema={
            "policy": pl.String,
            "rows": pl.Int64,
            "matches": pl.Int64,
            "clicks": pl.Int64,
            "mean_reward": pl.Float64,
        },
        orient="row",
    ).with_columns(pl.col("mean_reward").fill_nan(None))


def curves(replays: Mapping[str, Replay]) -> pl.DataFrame:
    """Return cumulative reward and regret over matches: columns policy, matches, reward, regret; thinned out."""
    return pl.concat([_curve(name, found) for name, found in replays.items() if found.matches])


def _curve(name: str, found: Replay) -> pl.DataFrame:
    at = np.unique(np.linspace(0, found.matches - 1, min(POINTS, found.matches)).astype(np.int64))
    return pl.DataFrame(
        {"policy": name, "matches": at + 1, "reward": found.reward_curve[at], "regret": found.regret_curve()[at]}
    )


def chart(found: pl.DataFrame, title: str) -> Chart:
    """Return cumulative reward over matches, a line per policy."""
    lines: Chart = (
        alt.Chart(found)
        .mark_line(interpolate="step-after")
        .encode(
            alt.X("matches:Q", title="matches"),
            alt.Y("reward:Q", title="clicks", axis=alt.Axis(tickMinStep=1)),
            alt.Color("policy:N", title=None, legend=alt.Legend(orient="right")),
        )
        .properties(width=WIDTH, height=HEIGHT, title=title)
    )
    return lines
