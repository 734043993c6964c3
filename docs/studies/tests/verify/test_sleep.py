"""The sleep example at full size: what knowing the participant is worth, and how much of it is earned."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from bandit_core.contextual import LinearThompson, LinUCB
from studies.sleep import measured_shares

pytestmark = pytest.mark.verify

POLICIES = (LinUCB, LinearThompson)
ALPHAS = (0.03, 0.05, 0.1, 0.2, 0.3, 1.0, 3.0)
STATED_ALPHA = 0.3
NIGHTS = (1_000, 5_000, 20_000)
RUNS = 20

type Array = NDArray[np.float64]
type Shares = dict[tuple[str, float], Array]
"""(policy, alpha) -> share of the oracle's advantage (RUNS, len(NIGHTS))."""


@pytest.fixture(scope="module")
def shares(workers: ProcessPoolExecutor) -> Shares:
    """Measure every policy with every alpha, on the same participants."""
    settings = [policy(alpha=alpha) for policy in POLICIES for alpha in ALPHAS]
    generators = [np.random.default_rng(run) for run in range(RUNS)]
    futures = [workers.submit(measured_shares, policy, NIGHTS, generators) for policy in settings]
    return {(each.name, each.alpha): future.result() for each, future in zip(settings, futures, strict=True)}


def std_error(share: Array) -> Array:
    error: Array = share.std(axis=0, ddof=1) / np.sqrt(RUNS)
    return error


@pytest.mark.parametrize("policy", [policy.name for policy in POLICIES])
def test_at_least_nine_tenths_of_the_oracles_advantage_are_earned(policy: str, shares: Shares) -> None:
    share = shares[policy, STATED_ALPHA]
    assert (share.mean(axis=0) - 2.0 * std_error(share))[-1] >= 0.9


def test_the_sweep_is_shown(shares: Shares, record: Callable[..., None], results: Path) -> None:
    rows = [
        [f"`{policy}`", f"{alpha:g}", *map("{:.1%} ± {:.1%}".format, share.mean(axis=0), std_error(share))]
        for (policy, alpha), share in shares.items()
    ]
    columns = ["policy", "alpha", *(f"{nights:,} nights" for nights in NIGHTS)]
    record("sleep_sweep", part=1, of=1, columns=columns, rows=rows)
    chart(shares).save(results / "sleep_sweep.svg")


def chart(shares: Shares) -> alt.LayerChart:
    horizons = [f"{nights:,} nights" for nights in NIGHTS]
    points = pl.DataFrame(
        [
            {"policy": policy, "alpha": alpha, "after": after, "share": share}
            for (policy, alpha), measured in shares.items()
            for after, share in zip(horizons, measured.mean(axis=0).tolist(), strict=True)
        ]
    )
    lines = alt.Chart(points).mark_line(point=True)
    lines = lines.encode(
        x=alt.X(
            "alpha:Q", scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(values=ALPHAS, format="~g")
        ),
        y=alt.Y("share:Q", title="share of the oracle's advantage", axis=alt.Axis(format="%")),
        color=alt.Color("policy:N", sort=None),
        strokeDash=alt.StrokeDash("after:N", sort=horizons[::-1], legend=None),
    )
    title = f"After {horizons[2]} (solid), {horizons[1]} (dashed), {horizons[0]} (dotted); gray: 90%"
    wanted = alt.Chart(pl.DataFrame({"share": [0.9]})).mark_rule(color="gray").encode(y="share:Q")
    shown: alt.LayerChart = (wanted + lines).properties(width=520, height=300, title=title)
    return shown
